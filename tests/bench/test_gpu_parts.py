"""The parts of `make gpu` on a machine without a GPU: each keeps what it found, whatever becomes of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from assay.bench import gpu_parts
from assay.bench.gpu_parts import LONGEST, PARTS, Part, main


@pytest.mark.parametrize("order", [("good", "bad", "slow"), ("slow", "bad", "good")])
def test_a_part_that_fails_or_hangs_leaves_the_others_and_what_it_said(
    order: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = {
        "good": Part(("-c", "print('| 1 | 2 |')"), 0.4),
        "bad": Part(("-c", "print('half'); raise SystemExit(3)"), 0.4),
        "slow": Part(("-c", "import time; print('begun', flush=True); time.sleep(600)"), 0.2),
    }
    monkeypatch.setattr(gpu_parts, "PARTS", {name: parts[name] for name in order})
    with pytest.raises(SystemExit) as end:
        main(seconds=15, folder=tmp_path)
    assert end.value.code == 1
    said = (tmp_path / "SUMMARY.md").read_text()
    assert said in capsys.readouterr().out
    rows = {line.split("|")[1].strip(): line for line in said.splitlines() if line.startswith("| ")}
    assert set(rows) == {"part", "---", *order}
    assert "done" in rows["good"]
    assert "ended with code 3" in rows["bad"]
    assert "half" in rows["bad"]
    assert "stopped after 3 s" in rows["slow"]
    assert "begun" in rows["slow"]
    assert (tmp_path / "good.md").read_text() == "| 1 | 2 |\n"


def test_every_part_ends_inside_four_minutes_and_names_what_is_there() -> None:
    assert LONGEST < 240
    for part in PARTS.values():
        assert 540 * part.share <= LONGEST
        for argument in part.arguments:
            if argument.startswith("tests/"):
                assert (Path(__file__).parents[2] / argument).is_file()
    assert sum(part.share for part in PARTS.values()) <= 1


@pytest.mark.parametrize("installed", [False, True])
def test_make_gpu_installs_nothing(installed: bool, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    if installed:
        (tmp_path / ".venv/bin").mkdir(parents=True)
        (tmp_path / ".venv/bin/python").touch()
    done = subprocess.run(
        ["make", "-n", "gpu", "PYTHON=python-here"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip" not in done.stdout
    python = ".venv/bin/python" if installed else f"PYTHONPATH={tmp_path}/.types python-here"
    assert f"{python} -P -m assay.bench.gpu_parts" in done.stdout
