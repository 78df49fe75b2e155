"""The whole of it on a tiny data set: train, resume, export, calibrate, evaluate, serve."""

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support.command import assay
from support.photos import write_tree
from support.tables import read_csv
from torch import nn

from assay.engine.bundle import Bundle, File, GraphSpec, Manifest
from assay.engine.commands.compile import compile_bundle
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.executors.onnx_torch import OPERATORS
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.tensorrt.build import Builder
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.data.samples import of_split, read_samples
from assay.trainers.evaluate.score import score, torch_graph
from assay.trainers.export import bundle as export
from assay.trainers.export.bundle import export_graph, graphs_of, with_int8
from assay.trainers.export.parity import LIMITS
from assay.trainers.fit import checkpoint
from assay.trainers.kinds.plain.fit import manifest_template
from assay.trainers.kinds.plain.network import Plain
from assay.trainers.kinds.plain.run import PlainRun


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    counts = {"train/a": 24, "val/a": 12, "test/gan": 12, "test/flow": 6}
    write_tree(
        root,
        {f"{folder}/{label}": n for folder, n in counts.items() for label in ("0_real", "1_fake")},
        side=72,
    )
    (root / "train/a/0_real/broken.jpg").write_bytes(b"\xff\xd8\xff no JPEG")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "plain"
    options = "--backbone mobilenet_v2 --epochs 10 --batch 8 --size 64 --crop 32 --lr 0.001 --workers 0"
    assay("train", "plain", "--data", data, "--out", folder, *options.split())
    return folder


@pytest.fixture(scope="module")
def bundle(data: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    assay(
        "export", run, folder, "--name", "tiny", "--crops", "five", "--checkpoint", "last", "--min-side", "40"
    )
    assay("calibrate", folder, "--data", data)
    return Bundle.load(folder)


def test_a_run_says_what_it_did(run: Path, data: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "run.json",
        "log.csv",
        "last.pt",
        "best.pt",
        "unreadable.txt",
        "tensorboard",
    }
    assert (run / "unreadable.txt").read_text() == f"{data / 'train/a/0_real/broken.jpg'}\n"
    rows = read_csv(run / "log.csv")
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 11)]
    assert json.loads((run / "run.json").read_text())["recipe"] == "cnn_aug"


def test_a_head_on_stages_is_trained_and_served_with_both_views(
    data: Path, bundle: Bundle, tmp_path: Path
) -> None:
    """With all that goes with it: a second network, the shared recipe, draws by source, resumption."""
    torch.manual_seed(0)
    torch.save(Plain("mobilenet_v2").network.state_dict(), tmp_path / "weights.pth")
    options = (
        "--backbone stages --recipe mixed --balance sources --views both --batch 8 --size 64 --workers 0 "
        "--trained-layers 2 --layers-lr-scale 0.3 --mixup 0.4 --ema-decay 0.9"
    )
    given = ("--data", data, "--out", tmp_path / "run", "--weights", tmp_path / "weights.pth")
    second = ("--traces", bundle.path / "classify.onnx")
    assay("train", "plain", *given, *second, *options.split(), "--epochs", 1)
    assay("train", "plain", "--data", data, "--out", tmp_path / "run", "--resume")
    assay("export", tmp_path / "run", tmp_path / "bundle", "--name", "heads")
    assay("calibrate", tmp_path / "bundle", "--data", data)
    made = Bundle.load(tmp_path / "bundle")
    assert [rule["resize"] for rule in made.manifest.parameters["more_views"]] == ["short_side"]
    assert made.manifest.trained_on["traces"] == "classify.onnx"
    printed = assay("evaluate", made.path, "--data", data, "--split", "test", "--alike").stdout
    assert "gan" in printed
    assert printed != assay("evaluate", made.path, "--data", data, "--split", "test").stdout
    with pytest.raises(SetupError, match="--traces stands beside --backbone stages"):
        assay("train", "plain", "--data", data, "--out", tmp_path / "other", *second)


def test_a_run_is_not_overwritten_and_resumes_with_its_own_settings(run: Path, data: Path) -> None:
    with pytest.raises(SetupError, match="--resume"):
        assay("train", "plain", "--data", data, "--out", run)
    before = (run / "run.json").read_text()
    assay("train", "plain", "--data", data, "--out", run, "--resume", "--lr", "30", "--workers", "0")
    assert (run / "run.json").read_text() == before
    assert len((run / "log.csv").read_text().splitlines()) == 11


def test_a_finished_run_is_extended(run: Path, data: Path, tmp_path: Path) -> None:
    longer = shutil.copytree(run, tmp_path / "longer")
    command = ("train", "plain", "--data", data, "--out", longer, "--resume", "--workers", "0", "--epochs")
    assay(*command, 11)
    assert len((longer / "log.csv").read_text().splitlines()) == 12
    assert PlainRun.read(longer).fit.epochs == 11
    with pytest.raises(SetupError, match="has 11 epochs already, so that --epochs 11 adds none"):
        assay(*command, 11)
    assert PlainRun.read(longer).fit == PlainRun.read(run).fit.model_copy(update={"epochs": 11})


def test_a_precision_that_cannot_be_emulated_is_not_offered_and_hurts_nothing_else(
    bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(OPERATORS, "Conv")
    folder = shutil.copytree(bundle.path, tmp_path / "bundle")
    printed = assay("calibrate", folder, "--data", data).stderr
    assert "fp16: not measured, not offered" in printed
    assert "no such operator" in " ".join(printed.split())
    (spec,) = Bundle.load(folder).manifest.graphs.values()
    assert "fp32" in spec.precisions
    assert "fp16" not in spec.precisions


def test_a_bundle_scores_as_the_network_it_came_from(bundle: Bundle, run: Path, data: Path) -> None:
    """Decoding, five crops and OpenVINO against torch on the same images."""
    model = Plain("mobilenet_v2")
    model.load_state_dict(checkpoint.load_state(run / "last.pt"))
    samples = of_split(read_samples(data), "test")
    served = score(samples, bundle.manifest, graphs_of(bundle))
    trained = score(samples, bundle.manifest, {"classify": torch_graph(model.eval())})
    assert len(served.samples) == len(samples)
    assert np.abs(served.logits - trained.logits).max() < 1e-3
    assert np.ptp(served.logits) > 1e-2  # else this compares nothing


def test_the_manifest_is_complete(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.kind, manifest.name, manifest.min_side) == ("plain", "tiny", 40)
    assert manifest.view.crops == 5
    assert manifest.view.size == 64
    assert manifest.trained_on["recipe"] == "cnn_aug"
    assert manifest.graphs["classify"].precisions["fp32"] == 0.0
    assert manifest.thresholds.authentic < 0.5 <= manifest.thresholds.synthetic
    assert {path.name for path in bundle.path.iterdir()} == {"manifest.json", "classify.onnx"}


def test_only_the_batch_varies(bundle: Bundle) -> None:
    model = onnx.load(bundle.path / "classify.onnx")
    onnx.checker.check_model(model, full_check=True)
    sides = [
        [side.dim_param or side.dim_value for side in tensor.type.tensor_type.shape.dim]
        for tensor in (*model.graph.input, *model.graph.output)
    ]
    assert sides == [["N", 3, 64, 64], ["N", 1]]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_tensorrt_takes_the_graph(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    [engine] = compile_bundle(bundle, Builder(trt, 89), "fp32", 8)
    assert engine.read_bytes()[:4] == b"vtrt"


def test_a_graph_that_differs_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = OpenVinoGraph.__call__
    monkeypatch.setattr(OpenVinoGraph, "__call__", lambda self, *arrays: (call(self, *arrays)[0] + 0.1,))
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    with pytest.raises(SetupError, match=r"differs by 0\.1"):
        export_graph(module, manifest_template(64).graphs["classify"], tmp_path / "classify.onnx")


@pytest.mark.parametrize("size", [1.0, 1e-4])
@pytest.mark.parametrize(("factor", "exported"), [(1.0005, True), (1.002, False)])
def test_small_outputs_are_compared_as_strictly(
    size: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, exported: bool
) -> None:
    call = OpenVinoGraph.__call__
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    nn.init.constant_(module[2].weight, 0.0)
    nn.init.constant_(module[2].bias, size)

    def scaled(self: OpenVinoGraph, *arrays: Any) -> Any:
        return (call(self, *arrays)[0] * np.float32(factor),)

    monkeypatch.setattr(OpenVinoGraph, "__call__", scaled)
    with nullcontext() if exported else pytest.raises(SetupError, match="differs"):
        export_graph(module, manifest_template(64).graphs["classify"], tmp_path / "classify.onnx")


@pytest.mark.parametrize(("count", "exported"), [(6, True), (7, False)])
def test_one_value_in_a_thousand_may_round_otherwise(
    count: int, exported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = OpenVinoGraph.__call__

    def rounded_otherwise(self: OpenVinoGraph, *arrays: Any) -> Any:
        (found,) = call(self, *arrays)
        found.reshape(-1)[:count] += 1
        return (found,)

    monkeypatch.setattr(OpenVinoGraph, "__call__", rounded_otherwise)
    plane = ("N", 3, 32, 32)  # twice 3072 values
    spec = GraphSpec(file="x.onnx", sha256="", inputs={"image": plane}, outputs={"pattern": plane})
    with nullcontext() if exported else pytest.raises(SetupError, match="differs by 1"):
        export_graph(nn.Conv2d(3, 3, 1), spec, tmp_path / spec.file)


def test_evaluation(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    (data / "test/gan/0_real/text.png").write_text("no image")
    options = ("--split", "test", "--out", tmp_path, "--record")
    printed = assay("evaluate", bundle.path, "--data", data, *options).stdout
    assert printed.rstrip("\n") == (tmp_path / "report.md").read_text().rstrip("\n")
    assert "1 files were refused" in printed
    scores = read_csv(tmp_path / "scores.csv")
    assert len(scores) == 36
    calibration = bundle.manifest.calibration
    for row in scores:
        assert float(row["probability"]) == pytest.approx(calibration.probability(float(row["logit"])))
    assert Bundle.load(bundle.path).manifest.metrics["all"]["photos"] == 18


def test_int8_is_offered_where_it_passes_and_leaves_nothing_where_not(
    bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    tried: list[float] = []

    def forms(bundle: Bundle, images: Sequence[Path], first_fp32: float) -> Manifest:
        tried.append(first_fp32)
        return with_int8(bundle, images, first_fp32)

    monkeypatch.setattr(export, "with_int8", forms)
    folder = shutil.copytree(bundle.path, tmp_path / "tiny")
    monkeypatch.setitem(LIMITS, "int8", 1.0)
    assay("calibrate", folder, "--data", data, "--int8")
    assert tried == [0]
    spec = Bundle.load(folder).manifest.graphs["classify"]
    assert spec.int8
    assert spec.int8.file == "classify.int8.onnx"
    assert 1e-5 < spec.precisions["int8"] < 0.2
    with Engine(Bundle.load(folder), settings=Settings(workers=0)) as engine:
        assert isinstance(engine.score((data / "val/a/0_real/0.png").read_bytes()), Verdict)

    def killed(bundle: Bundle, images: Sequence[Path], first_fp32: float) -> Manifest:
        with_int8(bundle, images[::-1], 0.5)
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(export, "with_int8", killed)
        with pytest.raises(RuntimeError, match="killed"):
            assay("calibrate", folder, "--data", data, "--int8")
    assert not Bundle.load(folder).manifest.graphs["classify"].int8

    monkeypatch.setitem(LIMITS, "int8", 1e-9)
    assay("calibrate", folder, "--data", data, "--int8")
    assert tried == [0, *export.FIRST_FP32]
    assert Bundle.load(folder).manifest.graphs == bundle.manifest.graphs
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "classify.onnx"}


def test_a_graph_that_has_nothing_to_quantise_is_its_own_int8_form(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(bundle.path.iterdir())
    graph = bundle.manifest.graphs["classify"]
    unchanged = {"classify": (bundle.path / graph.file).read_bytes()}
    monkeypatch.setattr(export, "int8_graphs", lambda *given: unchanged)
    named = with_int8(bundle, []).graphs["classify"].int8
    assert named == File(file=graph.file, sha256=graph.sha256)
    assert sorted(bundle.path.iterdir()) == before


def test_help_explains_itself() -> None:
    text = assay("train", "plain", "--help").stdout
    for word in ("--weights", "--recipe", "--resume", "0_real", "unreadable.txt"):
        assert word in text
