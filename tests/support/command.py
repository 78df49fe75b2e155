"""The command line, called within the process of the test."""

import pytest
from click.testing import Result
from typer.testing import CliRunner

from assay.engine.commands.app import app, main


def assay(*arguments: object) -> Result:
    """A call that has to succeed -> what it printed; what it raises comes through as it is."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def exit_code(*arguments: object) -> int:
    """The code with which the process would end; the output is written, for `capfd` to read."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)
