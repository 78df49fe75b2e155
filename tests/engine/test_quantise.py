"""int8 forms: made with photographs, run by OpenVINO and ONNX Runtime, taken by TensorRT."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image as Pillow
from support.bundles import SIDE, brightness_graph, plain_bundle

from assay.engine import quantise as int8
from assay.engine.bundle import Bundle
from assay.engine.commands.app import main
from assay.engine.commands.compile import compile_bundle, quantise
from assay.engine.core import Core
from assay.engine.detectors import KINDS
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.cache import Cache, write
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.tensorrt.build import Builder
from assay.engine.executors.tensorrt.symmetric import symmetric
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings

pytest.importorskip("nncf")
ort = pytest.importorskip("onnxruntime")
Pixels = NDArray[np.uint8]


def convolutions() -> ModelProto:
    """image (N, 3, 32, 32) -> logit (N, 1): two convolutions with a ReLU, and a linear layer."""
    random = np.random.default_rng(4)
    constants = {
        "first": random.standard_normal((8, 3, 3, 3)) / 4,
        "second": random.standard_normal((8, 1, 3, 3)) / 2,
        "head": random.standard_normal((8, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], "first", strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "second"], ["c"], "depthwise", group=8),
        helper.make_node("ReduceMean", ["c", "axes"], ["d"], "mean", keepdims=0),
        helper.make_node("Gemm", ["d", "head"], ["logit"], "head"),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", 1])],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 10
    return made


def photographs(count: int) -> list[Pixels]:
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return [np.asarray(Pillow.fromarray(one).resize((48, 40))) for one in coarse]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(plain_bundle(tmp_path_factory.mktemp("plain"), "convolutions", convolutions()))


@pytest.fixture(scope="module")
def form(bundle: Bundle) -> ModelProto:
    return onnx.load_from_string(int8.int8_graphs(bundle, photographs(24))["classify"])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def run(model: ModelProto, images: NDArray[np.float32]) -> NDArray[np.float32]:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # its int8 kernels want one scale
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"image": images})
    result: NDArray[np.float32] = logits
    return result


def views(count: int) -> NDArray[np.float32]:
    return np.stack([np.asarray(one[:SIDE, :SIDE]) for one in photographs(count)]).transpose(
        0, 3, 1, 2
    ) / np.float32(127.5) - np.float32(1)


def save(model: ModelProto, bundle: Bundle) -> Path:
    return write(Cache().int8_cached(bundle.manifest.graphs["classify"]), bytes(model.SerializeToString()))


def test_the_form_is_near_the_graph_and_really_int8(bundle: Bundle, form: ModelProto) -> None:
    images = views(16)
    wanted = run(convolutions(), images)
    error = np.abs(run(form, images) - wanted).max()
    assert 1e-4 * np.ptp(wanted) < error < 0.1 * np.ptp(wanted)
    stored = {tensor.data_type for tensor in form.graph.initializer if len(tensor.dims) == 4}
    assert stored == {TensorProto.INT8}


def test_the_last_linear_layer_is_left_alone(form: ModelProto) -> None:
    [head] = [node for node in form.graph.node if node.name == "head"]
    quantised = {output for node in form.graph.node for output in node.output if "Linear" in node.op_type}
    assert not quantised.intersection(head.input)


def test_first_layers_are_left_alone_where_asked(bundle: Bundle) -> None:
    form = onnx.load_from_string(int8.int8_graphs(bundle, photographs(8), 1 / 3)["classify"])
    [first, second] = [node for node in form.graph.node if node.op_type == "Conv"]
    assert list(first.input) == ["image", "first"]
    kinds = {tensor.name: tensor.data_type for tensor in form.graph.initializer if len(tensor.dims) == 4}
    assert kinds.pop("first") == TensorProto.FLOAT
    assert list(kinds.values()) == [TensorProto.INT8]
    assert second.input[1] not in kinds  # but what comes out of its quantiser
    images = views(16)
    wanted = run(convolutions(), images)
    assert 0 < np.abs(run(form, images) - wanted).max() < 0.1 * np.ptp(wanted)


def test_a_branch_counts_from_its_own_input() -> None:
    nodes = [
        helper.make_node("Conv", ["one", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Conv", ["two", "w"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["f"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "two branches", [], []))
    assert int8._depths(model) == {"a": 1, "b": 1, "c": 2, "d": 1, "e": 2, "f": 3}


def test_the_brightest_image_is_not_clipped(bundle: Bundle) -> None:
    dark = [np.full((40, 48, 3), 60, np.uint8)] * 15
    form = onnx.load_from_string(int8.int8_graphs(bundle, [*dark, np.full_like(dark[0], 255)])["classify"])
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in form.graph.initializer}
    [node] = [node for node in form.graph.node if node.input[0] == "image"]
    scale, zero = (constants[name].astype(np.float64) for name in node.input[1:])
    highest = np.iinfo(constants[node.input[2]].dtype).max
    assert (highest - zero) * scale >= 1 - 1e-3  # what the view makes of 255


def test_a_graph_without_convolutions_stays_as_it_is(tmp_path: Path) -> None:
    graph = brightness_graph()
    while any(node.op_type == "Conv" for node in graph.graph.node):
        [conv] = [node for node in graph.graph.node if node.op_type == "Conv"]
        pool = helper.make_node("ReduceMean", ["mean", "channel"], ["score"], "score")
        graph.graph.node.insert(1, pool)
        graph.graph.node.remove(conv)
    graph.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "channel"))
    graph.opset_import[0].version = 20
    bundle = Bundle.load(plain_bundle(tmp_path / "b", graph=graph))
    [data] = int8.int8_graphs(bundle, photographs(8)).values()
    assert hashlib.sha256(data).hexdigest() == bundle.manifest.graphs["classify"].sha256


def test_a_graph_that_no_image_needs_stays_as_it_is(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = dataclasses.replace(KINDS["plain"], detect=lambda images, *given: [])
    monkeypatch.setitem(KINDS, "plain", unasked)
    [data] = int8.int8_graphs(bundle, photographs(8)).values()
    assert hashlib.sha256(data).hexdigest() == bundle.manifest.graphs["classify"].sha256


def test_symmetric_quantisers_cover_the_same_range(form: ModelProto) -> None:
    images = views(16)
    made = symmetric(form)
    onnx.checker.check_model(made, full_check=True)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert constants[node.input[2]].dtype == np.int8
            assert not constants[node.input[2]].any()
            if node.input[0] not in constants:
                assert constants[node.input[1]].shape == ()
    wanted = run(convolutions(), images)
    assert np.abs(run(made, images) - wanted).max() < 0.15 * np.ptp(wanted)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("zero", [0, 37])
def test_a_symmetric_quantiser_clips_nothing_that_the_first_held(kind: Any, zero: int) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [512])],
        [
            numpy_helper.from_array(np.float32(0.5), "scale"),
            numpy_helper.from_array(np.array(zero, kind), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    low, high = (float((limit - zero) * 0.5) for limit in (np.iinfo(kind).min, np.iinfo(kind).max))
    x = np.linspace(low, high, 512, dtype=np.float32)
    session = ort.InferenceSession(symmetric(model).SerializeToString(), providers=["CPUExecutionProvider"])
    [y] = session.run(None, {"x": x})
    step = max(abs(low), abs(high)) / 127
    assert np.abs(y - x).max() <= step / 2 + 1e-4


def test_tensorrt_takes_it(bundle: Bundle, form: ModelProto) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    save(form, bundle)
    [first] = compile_bundle(bundle, Builder(trt, 89), "int8", 4)
    assert first.read_bytes()[:4] == b"vtrt"
    [head] = [tensor for tensor in form.graph.initializer if "head" in tensor.name]
    head.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(head), head.name))
    save(form, bundle)
    [second] = compile_bundle(bundle, Builder(trt, 89), "int8", 4)
    assert first != second, "another int8 form is another engine"


def test_a_bundle_without_an_int8_form_says_how_to_make_one(bundle: Bundle) -> None:
    spec = bundle.manifest.graphs["classify"]
    with pytest.raises(BundleError, match=r"no int8 form .* --precision int8 --images FOLDER"):
        OpenVinoGraph(bundle.path / spec.file, spec, "int8")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for number, pixels in enumerate(photographs(10)):
        Pillow.fromarray(pixels).save(folder / ("more" if number % 2 else ".") / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    Pillow.fromarray(photographs(1)[0][:4, :4]).save(folder / "small.png")
    return folder


def assay(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_the_command(bundle: Bundle, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = ("compile", bundle.path, "--target", "openvino", "-o", tmp_path / "named")
    assert assay(*target, "--precision", "int8", "--images", album) == 0
    made = Cache(tmp_path / "named").int8_cached(bundle.manifest.graphs["classify"])
    assert not Cache().root.exists()
    assert capsys.readouterr().out == f"{made}\n"  # and not a progress bar
    assert {tensor.data_type for tensor in onnx.load(made).graph.initializer} >= {TensorProto.INT8}
    assert assay(*target, "--images", album) == 2
    assert "--images is for int8" in capsys.readouterr().err
    assert assay(*target, "--precision", "bf16") == 2
    assert "nothing is built ahead" in capsys.readouterr().err


def test_serving_needs_leave_until_it_is_measured(bundle: Bundle, album: Path) -> None:
    quantise(bundle, album, Cache())
    with pytest.raises(BundleError, match="was not measured in int8"):
        Core([bundle], Settings(workers=0, precision="int8"))
    item = Item("a", (album / "0.png").read_bytes())
    scores = []
    for precision in ("fp32", "int8"):
        core = Core([bundle], Settings(workers=0, precision=precision, allow_unmeasured=True))
        [outcome] = [future.result() for future in core.submit([item], wait=True)]
        core.stop()
        assert isinstance(outcome, Verdict)
        scores.append(outcome.scores["plain"])
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_what_a_bundle_offers_is_served_from_its_own_file(form: ModelProto, tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "offering", "convolutions", convolutions())
    data = form.SerializeToString()
    (folder / "classify.int8.onnx").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    named = {"file": "classify.int8.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    manifest["graphs"]["classify"] |= {"int8": named, "precisions": {"fp32": 0.0, "int8": 0.01}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    core = Core([Bundle.load(folder)], Settings(workers=0))
    core.stop()
    spec = Bundle.load(folder).manifest.graphs["classify"]
    assert Cache().int8_file(folder / "classify.onnx", spec) == folder / "classify.int8.onnx"
    (folder / "classify.int8.onnx").write_bytes(data + b"\0")
    with pytest.raises(BundleError, match=r"classify\.int8\.onnx is not the file"):
        Bundle.load(folder)


def test_too_few_images(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is not a folder"):
        quantise(bundle, tmp_path / "nowhere", Cache())
    with pytest.raises(SetupError, match="needs 8 calibration images that can be read; there are 0"):
        quantise(bundle, tmp_path, Cache())


def test_without_nncf_it_says_what_to_install(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(SetupError, match=r"pip install 'assay\[int8\]'"):
        int8.int8_graphs(bundle, photographs(8))
