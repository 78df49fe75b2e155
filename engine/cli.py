"""The command line for programs that call it: the commands that read files are loaded with it.

A program that gives up rights, or changes its root, can import nothing afterwards.
"""

from assay.engine.commands import explain, scan
from assay.engine.commands.app import main

__all__ = ["explain", "main", "scan"]
