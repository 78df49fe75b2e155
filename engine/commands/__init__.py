"""The `assay` command: one file a command, or a family of them, each loaded when it is called."""
