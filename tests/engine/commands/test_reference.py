from pathlib import Path

import pytest

from assay.engine.commands.app import app
from assay.engine.commands.reference import TABLES, reference

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def test_the_page_is_current(page: str) -> None:
    assert PAGE.read_text("utf-8") == page, "docs/reference.md is not current: run `make reference`"


def test_every_setting_and_command_is_on_it_and_described(page: str) -> None:
    lines = page.splitlines()
    for _, prefix, model in TABLES:
        for field, info in model.model_fields.items():
            if hasattr(info.annotation, "model_fields"):
                continue
            (row,) = [line for line in lines if f"| `{prefix}{field.upper()}` |" in line]
            described = row.rsplit("|", 2)[1].strip()
            assert described or field in ("username", "password"), field
    for command in app.registered_commands:
        assert f"### assay {command.name}" in lines


def test_every_option_is_described_and_hidden_ones_are_not_shown(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| `-")]
    assert len(rows) > 150
    assert all(row.rsplit("|", 2)[1].strip() for row in rows)
    assert not any(row.startswith("| `--rate`") for row in rows)


def test_defaults_of_zero_are_shown(page: str) -> None:
    assert "| `--seed` | integer | `0` |" in page
    assert "| `delay` | `ASSAY_SERVE_DELAY` | number | `0.0` |" in page


def test_arguments_that_may_be_left_out_are_in_brackets(page: str) -> None:
    lines = page.splitlines()
    assert "    assay bench [PATHS...] [OPTIONS]" in lines
    assert "    assay scan PATHS... [OPTIONS]" in lines
