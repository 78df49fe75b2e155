"""The training commands of `assay`: one file a command, or a family of them."""
