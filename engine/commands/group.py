"""How a group of commands below `assay` looks."""

import typer


def commands(help: str | None = None) -> typer.Typer:
    """An empty group: `-h` is `--help`, errors are left to the caller, no completion of its own."""
    return typer.Typer(
        help=help,
        no_args_is_help=help is not None,
        add_completion=False,
        rich_markup_mode="markdown",  # paragraphs are filled, not broken where a docstring is
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
