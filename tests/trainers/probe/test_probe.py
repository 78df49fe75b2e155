"""`assay train probe`: a small network of the test as somebody's backbone, from the command to verdicts."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support.command import exit_code

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.data.samples import read_samples
from assay.trainers.probe import Backbone, fit_probe
from assay.trainers.probe.features import Features, extract
from assay.trainers.probe.fit import split_samples, view_rules

SIDE = 24
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def backbone(
    file: Path,
    *,
    shape: tuple[int | str, ...] = ("b", 3, SIDE, SIDE),
    form: str = "vector",
    extra: bool = False,
) -> Path:
    """Means of the three channels and of their absolute edges, as a vector, the first of tokens, or a map."""
    edges = np.zeros((6, 3, 3, 3), np.float32)
    for channel in range(3):
        edges[channel, channel, 1, 1] = 1
        edges[3 + channel, channel, 1] = (-1, 2, -1)
    nodes = [
        helper.make_node("Conv", ["pixels", "edges"], ["maps"]),
        helper.make_node("Abs", ["maps"], ["features"]),
    ]
    constants = {"edges": edges}
    output, rank = "features", ["b", 6, SIDE - 2, SIDE - 2]
    if form != "map":
        nodes.append(helper.make_node("ReduceMean", ["features"], ["vector"], axes=[2, 3], keepdims=0))
        output, rank = "vector", ["b", 6]
    if form == "tokens":
        constants["axis"] = np.array([1], np.int64)
        nodes += [
            helper.make_node("Unsqueeze", ["vector", "axis"], ["token"]),
            helper.make_node("Neg", ["token"], ["other"]),
            helper.make_node("Concat", ["token", "other"], ["tokens"], axis=1),
        ]
        output, rank = "tokens", ["b", 2, 6]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)]
    if extra:
        inputs.append(helper.make_tensor_value_info("words", TensorProto.INT64, ["b", 7]))
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, rank)]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "backbone", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, file)
    return file


def fill(folder: Path, count: int = 12) -> Path:
    """Photographs with fine detail of two cameras, and smooth images of two generators, one broken."""
    rng = np.random.default_rng(0)
    for label, names in (("real", ("camera-a", "camera-b")), ("fake", ("maker-a", "maker-b"))):
        for name in names:
            (folder / label / name).mkdir(parents=True)
            for number in range(count):
                base = rng.uniform(60, 190, 3)
                grain = rng.normal(0, 30 if label == "real" else 3, (48, 40, 3))
                pixels = np.clip(base + grain, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / label / name / f"{number}.png")
    (folder / "real/camera-a/broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("data"))


def train(network: Path, data: Path, out: Path, *more: object) -> int:
    pixels = ("--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD)))
    small = ("--min-side", 16, "--recipe", "none", *pixels)
    return exit_code("train", "probe", "--backbone", network, "--data", data, "--out", out, *small, *more)


@pytest.mark.parametrize("form", ["vector", "tokens", "map"])
def test_a_folder_and_a_network_become_a_bundle_that_serves(tmp_path: Path, data: Path, form: str) -> None:
    out = tmp_path / "mine"
    assert train(backbone(tmp_path / "net.onnx", form=form), data, out, "--name", "mine") == 0
    bundle = Bundle.load(out)
    assert bundle.manifest.view.mean == MEAN
    assert bundle.manifest.trained_on["backbone"] == "net.onnx"
    assert "camera-b" in (out / "CARD.md").read_text("utf-8")
    fresh = fill(tmp_path / "fresh", 4)
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        for label in ("real", "fake"):
            for path in (fresh / label).rglob("*.png"):
                verdict = engine.score(path.read_bytes())
                assert isinstance(verdict, Verdict)
                assert (verdict.probability > 0.5) == (label == "fake")


def test_it_is_evaluated_like_any_bundle(tmp_path: Path, data: Path) -> None:
    out, report = tmp_path / "mine", tmp_path / "report"
    assert train(backbone(tmp_path / "net.onnx"), data, out, "--recipe", "shared", "--draws", 2) == 0
    assert exit_code("evaluate", out, "--data", data, "--out", report) == 0
    assert any(report.glob("*.json"))


def test_the_served_logit_is_the_layer_on_the_embedding(tmp_path: Path, data: Path) -> None:
    """One oracle in float64: what the bundle's graph gives is the fitted layer on means over crops."""
    network = Backbone.read(backbone(tmp_path / "net.onnx"))
    rules = view_rules(network.side, "both", MEAN, STD)
    samples = [sample for sample in read_samples(data) if sample.path.suffix == ".png"]
    features = extract(network, samples, rules)
    probe = fit_probe(features)
    out = tmp_path / "mine"
    assert train(tmp_path / "net.onnx", data, out) == 0
    assert features.values.shape == (48, 2, 6)
    (tmp_path / "probe.onnx").write_bytes(network.with_head(probe.weights, probe.bias))
    onnx.checker.check_model(str(tmp_path / "probe.onnx"))
    logits = features.values @ probe.weights + probe.bias
    right = (logits.mean(axis=1) > 0) == np.array([sample.label == 1 for sample in features.samples])
    assert right.all()


def test_what_is_drawn_follows_from_the_seed(tmp_path: Path, data: Path) -> None:
    network = backbone(tmp_path / "net.onnx")
    for out in ("one", "two"):
        assert train(network, data, tmp_path / out, "--recipe", "shared", "--seed", 7) == 0
    one, two = (json.loads((tmp_path / out / "manifest.json").read_text("utf-8")) for out in ("one", "two"))
    assert one == two


def test_whole_sources_are_held_out_where_there_are_several(data: Path) -> None:
    train_on, held_out = split_samples(read_samples(data), 0)
    assert {sample.group for sample in train_on}.isdisjoint({sample.group for sample in held_out})
    for part in (train_on, held_out):
        assert {sample.label for sample in part} == {0, 1}


def test_a_feature_that_never_changes_has_no_weight(data: Path) -> None:
    samples = tuple(sample for sample in read_samples(data) if sample.path.suffix == ".png")
    values = np.full((len(samples), 1, 2), 1e6, np.float32)
    values[:, 0, 0] = [sample.label for sample in samples]
    probe = fit_probe(Features(samples, values, ()))
    assert probe.weights[0] > 0
    assert probe.weights[1] == 0


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        ({"shape": ("b", 3, "h", "w")}, (), "say it with --side"),
        ({}, ("--side", 32), "takes images of 24 x 24 pixels, not --side 32"),
        ({}, ("--output", "missing"), "has no output 'missing'; it has vector"),
        ({"shape": ("b", 1, SIDE, SIDE)}, (), "not square images of 3 channels"),
        ({"extra": True}, (), "but has pixels, words"),
        ({}, ("--mean", "1,2"), "--mean takes three numbers"),
        ({}, ("--std", "0,1,1"), "std must be three numbers above 0"),
    ],
    ids=["no side", "other side", "no output", "grey", "two inputs", "two means", "no deviation"],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path,
    data: Path,
    made: dict[str, object],
    options: tuple[object, ...],
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    network = backbone(tmp_path / "net.onnx", **made)  # type: ignore[arg-type]
    assert train(network, data, tmp_path / "mine", *options) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "mine").exists()


def test_no_network_and_no_class_are_said(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.onnx").write_text("not a network")
    assert train(tmp_path / "text.onnx", data, tmp_path / "mine") == 2
    assert "is not an ONNX graph" in capfd.readouterr().err
    assert train(tmp_path / "none.onnx", data, tmp_path / "mine") == 2
    assert "there is no such file" in capfd.readouterr().err
    alone = tmp_path / "alone"
    (alone / "real").mkdir(parents=True)
    Image.new("RGB", (48, 48)).save(alone / "real/a.png")
    assert train(backbone(tmp_path / "net.onnx"), alone, tmp_path / "mine") == 2
    assert "one of them is missing" in " ".join(capfd.readouterr().err.split())


def test_a_size_that_varies_is_given(tmp_path: Path, data: Path) -> None:
    network = backbone(tmp_path / "net.onnx", shape=("b", "c", "h", "w"))
    assert train(network, data, tmp_path / "mine", "--side", SIDE) == 0
