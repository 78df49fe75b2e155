"""The `assay` command: one file a command, or a family of them."""

from assay.engine.cli.app import app, main

__all__ = ["app", "main"]
