"""Folders for temporary files: kept while their process lives, removed after it, whoever looks first."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from assay.engine.scratch import Scratch

KILLED = """
import os, signal
from assay.engine.scratch import Scratch
scratch = Scratch("mine-")
(scratch.path / "file").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_killed_process_leaves_it_to_the_next_one_and_others_are_left_alone(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=60)
    (left,) = folder.iterdir()
    (folder / "mine-without-lock").mkdir()
    (folder / "others-x").mkdir()
    (folder / "others-x" / "lock").touch()
    first, second = Scratch("mine-"), Scratch("mine-")
    assert not left.exists()
    assert first.path.is_dir()
    second.close()
    Scratch("mine-").close()
    assert first.path.is_dir()
    first.close()
    assert sorted(path.name for path in folder.iterdir()) == ["mine-without-lock", "others-x"]
