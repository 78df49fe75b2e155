"""The log as lines of JSON: one object a line, whatever is in it."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine import telemetry
from assay.engine.item import Item
from assay.engine.telemetry.logs import JsonLines

FRONT = """
import logging, sys
from pathlib import Path
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.settings import Settings
from assay.engine.telemetry.logs import log_to_stderr
log_to_stderr(logging.DEBUG, sys.argv[1])
Core([Bundle.load(Path(sys.argv[2]))], Settings(workers=1)).stop()
"""


def logged(*args: object, error: bool = False, **extra: str) -> dict[str, object]:
    """What one call makes of itself."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("some.logger")
    logger.addHandler(handler)
    logger.error(*args, extra=extra, exc_info=error)
    [line] = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


@given(st.text(), st.text())
def test_a_record_is_one_line_and_keeps_every_word(id: str, words: str) -> None:
    line = logged("image %r: %s", id, words, **telemetry.about(Item(id, b"")))
    assert line["message"] == f"image {id!r}: {words}"
    assert line["image"] == id
    assert (line["level"], line["logger"]) == ("ERROR", "some.logger")
    assert "trace_id" not in line


def test_the_time_is_of_a_known_zone() -> None:
    assert str(logged("x")["time"]).endswith("+00:00")


def test_a_traceback_is_in_the_line() -> None:
    try:
        raise ValueError("of the defect")
    except ValueError:
        line = logged("failed", error=True)
    assert "ValueError: of the defect" in str(line["traceback"])


@pytest.mark.parametrize("form", ["text", "json"])
def test_workers_write_the_form_of_their_front(form: str, bundle_folder: Path) -> None:
    command = [sys.executable, "-c", FRONT, form, str(bundle_folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    lines = [line for line in done.stderr.splitlines() if line]
    assert any("workers serve" in line for line in lines)
    for line in lines:
        if form == "json":
            assert json.loads(line).keys() >= {"time", "level", "logger", "process", "message"}
        else:
            assert not line.startswith("{")
