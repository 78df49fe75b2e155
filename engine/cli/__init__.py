"""The `assay` command: one file a command, or a family of them."""

from assay.engine.cli.app import main

__all__ = ["main"]
