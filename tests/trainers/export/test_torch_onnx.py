"""ONNX graphs converted to torch: the shipped bundles, single operators, rounding, and files that are odd."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import ModelProto, TensorProto, helper, numpy_helper

from assay.engine.bundle import Bundle, GraphSpec, shipped
from assay.engine.errors import BundleError
from assay.engine.executors.lowering import lowered
from assay.engine.executors.onnx_torch import rounded, torch_module
from assay.engine.executors.onnxruntime import OnnxRuntimeGraph
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.torch_onnx import TorchOnnxGraph

GRAPHS = [
    pytest.param(folder, name, id=f"{folder.name}-{name}")
    for folder in shipped()
    for name in Bundle.load(folder).manifest.graphs
]


@pytest.mark.parametrize(("folder", "name"), GRAPHS)
@pytest.mark.parametrize("make", [TorchOnnxGraph, OnnxRuntimeGraph])
def test_shipped_graphs_give_what_openvino_gives(make: Any, folder: Path, name: str) -> None:
    spec = Bundle.load(folder).manifest.graphs[name]
    rng = np.random.default_rng(0)
    arrays = [rng.random((3, *map(int, shape[1:])), np.float32) for shape in spec.inputs.values()]
    found, expected = (
        executor(folder / spec.file, spec, "fp32")(*arrays) for executor in (make, OpenVinoGraph)
    )
    for output, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(output, wanted, rtol=0, atol=1e-4 * max(1e-3, float(np.abs(wanted).max())))


def model(node: onnx.NodeProto, *inputs: Any, constants: dict[str, Any] | None = None) -> ModelProto:
    """A graph of one node, whose inputs x0, x1, ... are like `inputs`; the first axis varies."""
    values = [
        helper.make_tensor_value_info(
            f"x{place}", helper.np_dtype_to_tensor_dtype(array.dtype), ["N", *array.shape[1:]]
        )
        for place, array in enumerate(inputs)
    ]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "one", values, outputs, weights)
    domains = [helper.make_opsetid("", 20)]
    domains += [helper.make_opsetid(node.domain, 1)] if node.domain else []
    made = helper.make_model(graph, opset_imports=domains, ir_version=10)
    return made if node.domain else onnx.shape_inference.infer_shapes(made)


X = np.random.default_rng(1).standard_normal((2, 4, 5, 6)).astype(np.float32)
W = np.random.default_rng(2).standard_normal((6, 2, 3, 3)).astype(np.float32)
ONE = [
    ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1], "group": 2}, {"w": W}),
    ("Conv", {"pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 2}, {"w": W, "b": np.ones(6, np.float32)}),
    ("ConvTranspose", {"strides": [2, 2]}, {"w": np.ascontiguousarray(W[:4])}),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 0, 1]}, {}),
    ("AveragePool", {"kernel_shape": [2, 3], "pads": [1, 1, 1, 1]}, {}),
    ("GlobalAveragePool", {}, {}),
    ("PRelu", {}, {"slope": np.full((4, 1, 1), 0.3, np.float32)}),
    ("Clip", {}, {"low": np.float32(-0.5), "high": np.float32(0.25)}),
    ("Clip", {}, {"low": np.float32(0.1)}),
    ("LayerNormalization", {"axis": -2}, {"s": W[0, 0, :1, :1] * np.ones((5, 6), np.float32)}),
    ("Softmax", {"axis": 1}, {}),
    ("Gelu", {"approximate": "tanh"}, {}),
    ("ReduceMean", {"keepdims": 0}, {"axes": np.array([-1, 1])}),
    ("ReduceL2", {}, {"axes": np.array([2])}),
    ("ReduceSum", {"keepdims": 0}, {}),
    ("Reshape", {}, {"to": np.array([0, -1, 3])}),
    ("Flatten", {"axis": 2}, {}),
    ("Transpose", {"perm": [0, 3, 1, 2]}, {}),
    ("Transpose", {}, {}),
    ("Unsqueeze", {}, {"axes": np.array([-1, 1])}),
    ("Slice", {}, {"s": np.array([1, -3]), "e": np.array([9, -1]), "a": np.array([1, -1])}),
    ("Slice", {}, {"s": np.array([-1]), "e": np.array([-99]), "a": np.array([2]), "t": np.array([-1])}),
    ("Gather", {"axis": 2}, {"i": np.array([[0, -1], [3, 1]])}),
    ("Gather", {"axis": -1}, {"i": np.array(-2)}),
    ("Expand", {}, {"to": np.array([3, 1, 1, 5, 1])}),
    ("Tile", {}, {"r": np.array([1, 2, 1, 3])}),
    ("Pad", {}, {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1]), "v": np.float32(7)}),
    ("Pad", {"mode": "reflect"}, {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1])}),
    ("Pow", {}, {"p": np.float32(2)}),
    ("Div", {}, {"d": np.full((6,), 3, np.float32)}),
    ("Max", {}, {"m": np.float32(0.1)}),
]


@pytest.mark.parametrize(("operator", "attributes", "constants"), ONE)
def test_an_operator_is_that_of_onnx_runtime(
    operator: str, attributes: dict[str, Any], constants: dict[str, Any]
) -> None:
    made = model(helper.make_node(operator, ["x0", *constants], ["y"], **attributes), X, constants=constants)
    if operator == "Expand":
        made = model(helper.make_node("Expand", ["x0", "to"], ["y"]), X, constants={"to": [3, 2, 4, 5, 6]})
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"x0": X})
    [found] = torch_module(made)(torch.from_numpy(X))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (helper.make_node("NonZero", ["x0"], ["y"], name="odd"), r"'odd' \(NonZero\): there is no such"),
        (helper.make_node("Relu", ["x0"], ["y"], domain="com.example"), ""),
        (helper.make_node("MaxPool", ["x0"], ["y"], kernel_shape=[2, 2], bogus=1), "bogus"),
    ],
)
def test_what_is_not_known_is_refused_by_name(node: onnx.NodeProto, says: str, tmp_path: Path) -> None:
    made = model(node, X)
    file = tmp_path / "classify.onnx"
    file.write_bytes(made.SerializeToString())
    spec = GraphSpec(file=file.name, sha256="", inputs={"x0": ("N", 4, 5, 6)}, outputs={"y": ("N",)})
    with pytest.raises(BundleError, match=rf"classify\.onnx: torch cannot run it: .*{says}"):
        TorchOnnxGraph(file, spec, "fp32")


def test_weights_in_another_file_are_not_opened(tmp_path: Path) -> None:
    made = model(helper.make_node("Add", ["x0", "w"], ["y"]), X, constants={"w": X[:1]})
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/hostname")
    file = tmp_path / "classify.onnx"
    file.write_bytes(made.SerializeToString())
    spec = GraphSpec(file=file.name, sha256="", inputs={"x0": ("N", 4, 5, 6)}, outputs={"y": ("N",)})
    with pytest.raises(BundleError, match="'w' lie in another file"):
        TorchOnnxGraph(file, spec, "fp32")


def test_other_tensors_than_the_manifest_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "classify.onnx"
    file.write_bytes(model(helper.make_node("Relu", ["x0"], ["y"]), X).SerializeToString())
    spec = GraphSpec(file=file.name, sha256="", inputs={"image": ("N", 4, 5, 6)}, outputs={"y": ("N",)})
    for make in (TorchOnnxGraph, OnnxRuntimeGraph):
        with pytest.raises(
            BundleError, match=r"the manifest names input \['image'\], the graph has \['x0'\]"
        ):
            make(file, spec, "fp32")


FLOATS = npst.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32, allow_nan=False))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@given(FLOATS)
def test_rounding_is_that_of_numpy_and_ml_dtypes(values: np.ndarray) -> None:
    """Halfway cases, subnormals, and what overflows to infinity."""
    for to, kind in ((torch.float16, np.float16), (torch.bfloat16, ml_dtypes.bfloat16)):
        found = rounded(torch.from_numpy(values), to).numpy()
        np.testing.assert_array_equal(found, values.astype(kind).astype(np.float32))


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)], ids=["fp16", "bf16"]
)
def test_emulation_rounds_what_an_operator_is_given_and_gives_and_adds_up_in_fp32(
    precision: str, kind: Any
) -> None:
    """A convolution and a ReLU, computed by hand."""
    rng = np.random.default_rng(3)
    image = rng.standard_normal((1, 64, 1, 1)).astype(np.float32)
    weight = rng.standard_normal((8, 64, 1, 1)).astype(np.float32)
    bias = rng.standard_normal(8).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("Add", ["c", "c"], ["twice"]),
        helper.make_node("Relu", ["twice"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 1, 1])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    [found] = torch_module(lowered(made, precision), emulate=True)(torch.from_numpy(image))

    def low(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32).astype(kind).astype(np.float64)

    sums = low(low(weight[:, :, 0, 0]) @ low(image[0, :, 0, 0]) + low(bias))
    expected = np.maximum(low(2 * sums), 0)
    np.testing.assert_array_equal(found.numpy()[0, :, 0, 0], expected)
    assert (
        np.abs(
            found.numpy()[0, :, 0, 0] - np.maximum(2 * (weight[:, :, 0, 0] @ image[0, :, 0, 0] + bias), 0)
        ).max()
        > 1e-5
    )


@pytest.mark.parametrize(("folder", "name"), GRAPHS)
def test_emulated_fp16_is_what_torch_computes_in_fp16(folder: Path, name: str) -> None:
    """Both round after every operator; what is left is the order of sums."""
    spec = Bundle.load(folder).manifest.graphs[name]
    rng = np.random.default_rng(4)
    arrays = [rng.random((1, *map(int, shape[1:])), np.float32) for shape in spec.inputs.values()]
    exact, real, emulated = (
        TorchOnnxGraph(folder / spec.file, spec, precision, emulate=emulate)(*arrays)
        for precision, emulate in (("fp32", False), ("fp16", False), ("fp16", True))
    )
    for one, two, three in zip(exact, real, emulated, strict=True):
        scale = float(np.abs(one).max()) or 1.0
        assert np.abs(two - three).max() <= 0.03 * scale
        assert 0 < np.abs(one - three).max() <= 0.05 * scale
