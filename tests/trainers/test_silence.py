"""Training and its tables contact nobody, and leave nothing in the home folder but Assay's cache."""

import sys
from pathlib import Path

import pytest
from support.outside import Outside
from support.photos import write_tree

pytest.importorskip("torch")

ASSAY = Path(sys.executable).with_name("assay")
PLOT = """
import sys
from pathlib import Path
from assay.engine.quiet import keep_in_cache, keep_offline

keep_offline()
keep_in_cache()
from assay.trainers.study.results import plot

plot(Path(sys.argv[1]), {"a": [(0.0, 1.0)]}, "across", "up")
"""


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside.below(tmp_path)


def test_training_asks_nobody(outside: Outside, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_tree(
        data,
        {f"{split}/a/{label}": 4 for split in ("train", "val") for label in ("0_real", "1_fake")},
        side=72,
    )
    options = "--backbone mobilenet_v2 --epochs 1 --batch 4 --size 64 --crop 32 --workers 0"
    run = outside.run(ASSAY, "train", "plain", "--data", data, "--out", tmp_path / "run", *options.split())
    assert run.returncode == 0, run.stderr
    assert list((tmp_path / "run").rglob("events.*")), "TensorBoard was part of it"
    assert (outside.asked(), outside.left()) == (set(), [])


def test_figures_leave_their_fonts_in_the_cache(outside: Outside, tmp_path: Path) -> None:
    done = outside.run(sys.executable, "-c", PLOT, tmp_path / "figure.png")
    assert done.returncode == 0, done.stderr
    assert outside.asked() == set()
    assert all(file.startswith(".cache/assay/matplotlib/") for file in outside.left())
