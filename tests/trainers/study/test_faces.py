"""Tables of the face paper from runs: cells against a calculation by hand, and runs that do not compare."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.command import assay
from support.lnp import mean_bundle
from support.lnp_networks import lively
from support.photos import write_tree
from support.tables import read_csv

from assay.engine.errors import SetupError
from assay.engine.report.markdown import table
from assay.trainers.data.samples import read_samples
from assay.trainers.evaluate.score import score
from assay.trainers.fit import checkpoint
from assay.trainers.kinds.lnp.bundle import torch_graphs
from assay.trainers.kinds.lnp.denoiser.network import Student
from assay.trainers.kinds.lnp.fit import manifest_of, network_of
from assay.trainers.kinds.lnp.run import LnpFit, LnpRun
from assay.trainers.kinds.plain.run import PlainRun
from assay.trainers.study import faces
from assay.trainers.study.faces import Judgement
from assay.trainers.study.method import method_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    return write_tree(
        root, {f"{part}/{label}": 3 for part in ("train", "test") for label in ("real", "fake")}
    )


def write_run(folder: Path, data: Path, seed: int = 0, **changed: Any) -> Path:
    """A run of two epochs, whose networks learnt nothing."""
    values: dict[str, Any] = {
        "data": data,
        "batch": 4,
        "seed": seed,
        "fit": LnpFit(epochs=2),
        "size": 32,
        "cache": data.parent / "cache",
    }
    run = LnpRun(**{**values, **changed})
    run.write(folder)
    torch.manual_seed(seed)
    student, network = Student(), network_of(run)
    checkpoint.save({"model": student.state_dict()}, folder / "denoiser.pt")
    checkpoint.save({"model": network.state_dict()}, folder / "best.pt")
    return folder


def study(*arguments: object) -> str:
    return assay("study", "faces", *arguments).stdout


def test_a_cell_is_the_mean_over_runs() -> None:
    rows = [("a", "MobileNetV2", 90.0), ("a", "MobileNetV2", 95.0), ("a", "ResNet-34", 80.0)]
    found = [Judgement("x", name, title, 0, accuracy) for name, title, accuracy in rows]
    assert faces.table(found) == [
        ["", "ResNet-34", "MobileNetV2"],
        ["a", "80.00", "92.50"],
    ]
    more = [*found, Judgement("y", "b", "ResNet-34", 0, 70.0)]
    assert faces.table(more)[1:] == [["a", "80.00", "92.50"], ["b", "70.00", ""]]
    names, curves = faces.dots(more)
    assert names == ["ResNet-34", "MobileNetV2"]
    assert curves == {"a": [(1.0, 90.0), (1.0, 95.0), (0.0, 80.0)], "b": [(0.0, 70.0)]}
    assert table([["", "x"], ["a", "1"]]) == "|  | x |\n| --- | --: |\n| a | 1 |\n"


def test_accuracy_of_a_run(data: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data)
    samples = [sample for sample in read_samples(data) if sample.split == "test"]
    pattern, network = lively(32)
    checkpoint.save({"model": pattern.denoiser.state_dict()}, run / "denoiser.pt")
    scored = score(samples, manifest_of(LnpRun.read(run)), torch_graphs(pattern, network))
    middle = float(np.median(scored.logits))
    shifted = {name: value.clone() for name, value in network.state_dict().items()}
    shifted["network.classifier.1.bias"] -= middle  # so that some answers are right and some wrong
    checkpoint.save({"model": shifted}, run / "best.pt")
    [found], _ = faces.evaluate([run], samples, varied="nothing")
    right = [
        (logit > middle) == bool(one.label) for logit, one in zip(scored.logits, scored.samples, strict=True)
    ]
    assert found.accuracy == pytest.approx(100 * sum(right) / 6)
    assert method_of(f"lnp={run}").score(samples, None).logits == pytest.approx(
        (scored.logits - middle).tolist(), abs=1e-4
    )
    dark = method_of(f"lnp={run}").score(samples, lambda pixels: pixels // 4)
    assert np.abs(dark.logits - (scored.logits - middle)).max() > 0.1


def test_rows_follow_from_the_settings_of_runs(data: Path, tmp_path: Path) -> None:
    none = write_run(tmp_path / "none", data, attended="none")
    every = write_run(tmp_path / "all", data, attended="all")
    spectra = write_run(tmp_path / "spectra", data, attention="danet", seed=3)
    out = tmp_path / "out"
    text = study(none, every, spectra, "--data", data, "--out", out, "--vary", "attention")
    assert [line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:5]] == [
        "AS+PS+LNP",
        "Att(AS+PS+LNP)",
        "Att(AS+PS)+LNP, danet",
    ]
    rows = read_csv(out / "faces_attention.csv")
    assert [row["run"] for row in rows] == [str(none), str(every), str(spectra)]
    assert rows[2]["seed"] == "3"
    assert (out / "faces_attention.md").read_text().strip() == text.strip()
    with Image.open(out / "faces_attention.png") as plot:
        assert min(plot.size) > 300

    raw = write_run(tmp_path / "raw", data, attention="paper", normalise="none")
    text = study(spectra, raw, "--data", data, "--out", out, "--vary", "attention")
    assert "| Att(AS+PS)+LNP, paper, as they are |" in text

    colour = write_run(tmp_path / "colour", data, channels="3")
    grey = write_run(tmp_path / "grey", data)
    text = study(colour, grey, "--data", data, "--out", out, "--vary", "channels")
    assert "3-channel" in text
    assert "1-channel" in text


def test_what_a_run_could_not_score_is_listed(tmp_path: Path) -> None:
    data = write_tree(tmp_path / "data", {"test/real": 2, "test/fake": 2})
    bad = data / "test/fake/bad.png"
    bad.write_bytes(b"\x89PNG\r\n")
    run, out = write_run(tmp_path / "run", data), tmp_path / "out"
    told = assay("study", "faces", run, "--data", data, "--out", out)
    assert f"{run}: 1 file was left out" in told.stderr
    [listed] = out.glob("left_out*.txt")
    assert listed.read_text() == f"{bad}\n"
    assert "| accuracy in % |" in told.stdout


def test_runs_that_differ_in_more_are_not_compared(data: Path, tmp_path: Path) -> None:
    one, other = (
        write_run(tmp_path / "one", data),
        write_run(tmp_path / "other", data, size=64, attended="all"),
    )
    shared = ("--data", data, "--out", tmp_path)
    with pytest.raises(SetupError, match="differ in size"):
        study(one, other, *shared, "--vary", "attention")
    with pytest.raises(SetupError, match="differ in attended, size"):
        study(one, other, *shared)


def test_what_is_no_such_run_is_said(data: Path, tmp_path: Path) -> None:
    other = PlainRun(data=data)
    other.write(tmp_path / "plain")
    with pytest.raises(SetupError, match=r"plain is a run of assay train plain, not of assay train lnp$"):
        study(tmp_path / "plain", "--data", data, "--out", tmp_path)
    with pytest.raises(SetupError, match=r"nowhere is not the folder of a training run: it has no run\.json"):
        study(tmp_path / "nowhere", "--data", data, "--out", tmp_path)


def test_patterns_of_faces_are_a_grid(data: Path, tmp_path: Path) -> None:
    bundle = mean_bundle(tmp_path / "bundle")
    files = sorted((data / "test").rglob("*.png"))[:3]
    assay("study", "patterns", bundle, *files, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out/patterns.png") as page:
        assert page.width == 4 * 160
        assert page.height == 3 * (160 + 16 + 4)
        pixels = np.asarray(page.convert("L"))
    for row in range(3):
        for column in range(4):
            cell = pixels[row * 180 + 8 : row * 180 + 150, column * 160 + 8 : column * 160 + 150]
            assert cell.std() > 5
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(SetupError, match=r"text\.jpg: This looks like text"):
        assay("study", "patterns", bundle, *files, tmp_path / "text.jpg", "--out", tmp_path / "out")
    with pytest.raises(SetupError, match="which finds no noise patterns"):
        assay("study", "patterns", "plain-mobilenet", *files, "--out", tmp_path / "out")
