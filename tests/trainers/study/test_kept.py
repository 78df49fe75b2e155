"""Studies that are stopped: what was finished is taken, and nothing else is."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.command import assay
from support.fusing import brightness_bundle
from support.photos import write_tree
from support.tables import read_csv

from assay.trainers.data.samples import Sample, read_samples
from assay.trainers.evaluate.score import Scored
from assay.trainers.study import kept as keeping
from assay.trainers.study.kept import Kept

RESULTS = ("robustness_blur.csv", "robustness_blur.md", "left_out_bright.txt")


class Killed(BaseException):
    """As a signal ends a process: nothing catches it."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine files, kept by four; one cannot be read."""
    monkeypatch.setattr(keeping, "PART", 4)
    folders = [f"test/{name}/{label}" for name in ("biggan", "crn") for label in ("0_real", "1_fake")]
    root = write_tree(tmp_path / "data", dict.fromkeys(folders, 2), side=64)
    (root / "test/crn/1_fake/cut.jpg").write_bytes(b"\xff\xd8\xff")
    return root


def blur(bundle: Path, data: Path, out: Path) -> str:
    command = ("study", "robustness", f"bright={bundle}", "--data", data, "--to", "blur", "--out", out)
    return assay(*command).stderr


def results(out: Path) -> list[str]:
    return [(out / name).read_text() for name in RESULTS]


@pytest.mark.parametrize("finished", [0, 1, 2, 10, 20])
def test_a_study_that_is_killed_goes_on(
    finished: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven strengths of three parts each."""
    bundle = brightness_bundle(tmp_path / "bundle")
    blur(bundle, data, tmp_path / "whole")
    out, write, written = tmp_path / "out", keeping._write, list[Path]()

    def killed(file: Path, arrays: keeping.Arrays) -> None:
        if len(written) == finished:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_suffix(".partial").write_bytes(b"PK")  # in the midst of the next one
            raise Killed
        written.append(file)
        write(file, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "_write", killed)
        with pytest.raises(Killed):
            blur(bundle, data, out)
    assert not (out / RESULTS[0]).exists()
    before = {file: file.stat().st_mtime_ns for file in written}
    told = blur(bundle, data, out)
    assert ("images were there already" in told) == bool(finished)
    if finished >= 2:
        assert "assay: bright, 0: " in told
        assert f"of 9 images were there already, in {out / 'kept'}" in told.replace("\n", " ")
    assert results(out) == results(tmp_path / "whole")
    assert {file: file.stat().st_mtime_ns for file in written} == before
    assert len(list((out / "kept").glob("*.npz"))) == 21


def test_what_was_finished_is_not_computed_again(data: Path, tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "bundle")
    blur(bundle, data, tmp_path / "out")
    for file in (tmp_path / "out/kept").glob("*.npz"):
        arrays = dict(np.load(file))
        np.savez(file, **{**arrays, "logits": -arrays["logits"]})
    first = read_csv(tmp_path / "out/robustness_blur.csv")
    blur(bundle, data, tmp_path / "out")
    assert read_csv(tmp_path / "out/robustness_blur.csv") != first


def test_a_changed_bundle_or_file_is_not_mistaken(data: Path, tmp_path: Path) -> None:
    bundle, out = brightness_bundle(tmp_path / "bundle"), tmp_path / "out"
    assert "there already" not in blur(bundle, data, out)
    assert blur(bundle, data, out).count("9 of 9 images were there already") == 7
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["min_side"] = 64
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert "there already" not in blur(other, data, out)
    first, *_ = sorted((data / "test/biggan/0_real").iterdir())
    os.utime(first, ns=(1, 1))
    assert "5 of 9 images were there already" in blur(bundle, data, out)
    shutil.rmtree(out / "kept")
    assert "there already" not in blur(bundle, data, out)


def test_parts_that_were_cut_short_are_made_again(data: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def score(part: Sequence[Sample]) -> Scored:
        calls.append(len(part))
        return Scored(tuple(part), np.arange(len(part), dtype=float), np.full(len(part), 64, np.int64))

    samples, kept = read_samples(data), Kept(tmp_path / "out")
    first = kept.scored("it", {"a": "b"}, samples, score)
    assert calls == [4, 4, 1]
    file, *_ = kept.folder.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    assert kept.scored("it", {"a": "b"}, samples, score).logits.tolist() == first.logits.tolist()
    assert len(calls) == 4
    kept.scored("it", {"a": "c"}, samples, score)
    assert len(calls) == 7
    assert kept.scored("it", {"a": "b"}, [], score).samples == ()
