"""Graphs converted to fp16 and bf16, run by ONNX Runtime and by ONNX's own reference, against fp32."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from assay.engine.bundle import SHIPPED
from assay.engine.errors import SetupError
from assay.engine.executors.lowering import TYPES, lowered

ort = pytest.importorskip("onnxruntime")
Floats = NDArray[np.float32]


def model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int] | None],
    constants: dict[str, Any] | None = None,
    opset: int = 20,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 10
    return made


def run(graph: ModelProto, *arrays: Floats) -> list[Floats]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {given.name: array for given, array in zip(graph.graph.input, arrays, strict=True)}
    outputs: list[Floats] = session.run(None, feeds)
    return outputs


def types(graph: ModelProto) -> dict[str, int]:
    """Element type by tensor."""
    inferred = shape_inference.infer_shapes(graph, strict_mode=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in inferred.initializer
    }


def types_at(graph: ModelProto, node: str) -> set[int]:
    """Element types of the floating-point inputs and outputs of the node of that name."""
    known = types(graph)
    [found] = [one for one in graph.graph.node if one.name == node]
    return {known[name] for name in (*found.input, *found.output)} - {TensorProto.INT64}


RANDOM = np.random.default_rng(3)


def floats(*shape: int) -> Floats:
    return RANDOM.standard_normal(shape).astype(np.float32)


def small_network() -> ModelProto:
    """Convolution, pooling, attention between positions, a head: (N, 3, 8, 8) -> (N, 1)."""
    constants = {
        "w": floats(4, 3, 3, 3) / 5,
        "flat": np.array([0, 4, -1], np.int64),
        "q": floats(4, 4) / 2,
        "scale": np.float32(0.5),
        "gamma": 1 + floats(4) / 5,
        "axes": np.array([1], np.int64),
        "head": floats(4, 1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "flat"], ["f"], "flatten"),
        helper.make_node("Transpose", ["f"], ["t"], "positions", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "q"], ["query"], "query"),
        helper.make_node("MatMul", ["query", "f"], ["dots"], "logits"),
        helper.make_node("Mul", ["dots", "scale"], ["scaled"], "scale"),
        helper.make_node("Softmax", ["scaled"], ["weights"], "softmax", axis=-1),
        helper.make_node("MatMul", ["weights", "t"], ["mixed"], "mix"),
        helper.make_node("LayerNormalization", ["mixed", "gamma"], ["normal"], "norm", axis=-1),
        helper.make_node("ReduceMean", ["normal", "axes"], ["mean"], "mean", keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["logit"], "head"),
    ]
    return model(nodes, {"image": ["N", 3, 8, 8]}, {"logit": ["N", 1]}, constants)  # type: ignore[list-item]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_what_is_lowered_and_what_is_not(precision: str) -> None:
    graph = lowered(small_network(), precision)
    for name in ("conv", "relu", "pool", "flatten", "query", "mix"):
        assert types_at(graph, name) == {TYPES[precision]}, name
    for name in ("logits", "scale", "softmax", "norm", "mean", "head"):
        assert types_at(graph, name) == {TensorProto.FLOAT}, name


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_edges_stay_as_they_are(precision: str) -> None:
    graph = small_network()
    converted = lowered(graph, precision)
    assert converted.graph.input == graph.graph.input
    assert converted.graph.output == graph.graph.output
    names = {node.name for node in graph.graph.node}
    added = [node.op_type for node in converted.graph.node if node.name not in names]
    assert names <= {node.name for node in converted.graph.node}
    assert set(added) == {"Cast"}


def test_fp16_is_near_fp32_and_not_it() -> None:
    graph, image = small_network(), floats(5, 3, 8, 8)
    [wanted], [got] = run(graph, image), run(lowered(graph, "fp16"), image)
    assert 1e-6 < np.abs(wanted - got).max() < 0.01 * np.abs(wanted).max()


def test_bf16_is_near_fp32_and_not_it() -> None:
    """By ONNX's reference: ONNX Runtime has no convolution in bfloat16 on CPUs."""
    graph, image = small_network(), floats(2, 3, 8, 8)
    [wanted] = run(graph, image)
    [got] = ReferenceEvaluator(lowered(graph, "bf16")).run(None, {"image": image})
    assert got.dtype == np.float32
    assert 1e-4 < np.abs(wanted - got).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["plain-mobilenet"])
def test_a_shipped_network_in_fp16(name: str) -> None:
    graph = onnx.load(SHIPPED / name / "classify.onnx")
    image = floats(2, 3, 224, 224)
    converted = lowered(graph, "fp16")
    [wanted], [got] = run(graph, image), run(converted, image)
    assert 0 < np.abs(wanted - got).max() < 0.02
    assert converted.ByteSize() < 0.6 * graph.ByteSize()


def test_logits_of_attention_may_exceed_what_fp16_holds() -> None:
    nodes = [
        helper.make_node("MatMul", ["query", "key"], ["dots"], "dots"),
        helper.make_node("Mul", ["dots", "small"], ["logits"], "scaling"),
        helper.make_node("Softmax", ["logits"], ["weights"], "softmax"),
        helper.make_node("Relu", ["weights"], ["out"], "out"),
    ]
    graph = model(nodes, {"query": [4, 64], "key": [64, 4]}, {"out": [4, 4]}, {"small": np.float32(1e-4)})
    query = np.full((4, 64), 60, np.float32) * np.arange(1, 5, dtype=np.float32)[:, None]
    key = query.T * np.float32(0.25)
    assert np.abs(query @ key).max() > 131008  # twice the largest
    [wanted], [got] = run(graph, query, key), run(lowered(graph, "fp16"), query, key)
    np.testing.assert_allclose(got, wanted, atol=0.01)


def test_a_guard_against_division_by_zero_survives() -> None:
    """x / max(|x|, 1e-12) of nothing is nothing; 1e-12 is zero in fp16."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("ReduceL2", ["r", "axis"], ["norm"], "norm"),
        helper.make_node("Clip", ["norm", "least"], ["guarded"], "guard"),
        helper.make_node("Div", ["r", "guarded"], ["unit"], "unit"),
        helper.make_node("Tanh", ["unit"], ["out"], "out"),
    ]
    constants = {"axis": np.array([1], np.int64), "least": np.float32(1e-12)}
    graph = model(nodes, {"x": [2, 3]}, {"out": [2, 3]}, constants)
    x = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    [got] = run(lowered(graph, "fp16"), x)
    np.testing.assert_allclose(got, run(graph, x)[0], atol=1e-3)


def test_constants_that_fp16_does_not_hold() -> None:
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["masked"], "mask"),
        helper.make_node("Tanh", ["masked"], ["out"], "out"),
    ]
    graph = model(nodes, {"x": [4]}, {"out": [4]}, {"mask": np.array([0, 1e30, -1e30, -np.inf], np.float32)})
    [got] = run(lowered(graph, "fp16"), np.zeros(4, np.float32))
    assert got.tolist() == [0, 1, -1, -1]


def test_an_output_may_be_used_within() -> None:
    nodes = [
        helper.make_node("Tanh", ["x"], ["first"], "first"),
        helper.make_node("Tanh", ["first"], ["second"], "second"),
        helper.make_node("Softmax", ["first"], ["third"], "third"),
    ]
    graph = model(nodes, {"x": [3]}, {"first": [3], "second": [3], "third": [3]})
    x = floats(3)
    for wanted, got in zip(run(graph, x), run(lowered(graph, "fp16"), x), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-3)


def test_a_graph_that_branches_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["out"], "choice", then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(SetupError, match="branches or loops"):
        lowered(model(nodes, {"x": [3]}, {"out": [3]}), "fp16")


LAYERS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "relu": ("Relu", [], {}),
    "tanh": ("Tanh", [], {}),
    "add": ("Add", ["bias"], {}),
    "scale": ("Mul", ["bias"], {}),
    "linear": ("MatMul", ["weight"], {}),
    "softmax": ("Softmax", [], {"axis": -1}),
    # With its usual epsilon a norm of equal numbers blows up what rounding makes of them.
    "norm": ("LayerNormalization", ["gain"], {"axis": -1, "epsilon": 1.0}),
    "mean": ("ReduceMean", ["axes"], {}),
    "turn": ("Transpose", [], {"perm": [1, 0]}),
    "self": ("Add", ["<x>"], {}),
    "cast": ("Cast", [], {"to": TensorProto.FLOAT}),
    "divide": ("Div", ["gain"], {}),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=8), st.sampled_from(["fp16", "bf16"]))
def test_any_chain_converts_and_agrees(names: list[str], precision: str) -> None:
    constants = {
        "bias": np.linspace(-1, 1, 4, dtype=np.float32),
        "weight": np.linspace(-0.5, 0.5, 16, dtype=np.float32).reshape(4, 4),
        "gain": np.linspace(1, 2, 4, dtype=np.float32),
        "axes": np.array([0], np.int64),
    }
    nodes, last, ends = [], "x", {}
    for number, name in enumerate(names):
        kind, extra, attributes = LAYERS[name]
        made = f"t{number}"
        keep = {"keepdims": 1} if kind == "ReduceMean" else {}
        given_ = [last, *(("x" if one == "<x>" else one) for one in extra)]
        nodes.append(helper.make_node(kind, given_, [made], f"n{number}", **attributes, **keep))
        if name == "mean":  # back to four rows
            nodes.append(helper.make_node("Add", [made, "x"], [f"{made}b"], f"n{number}b"))
            made = f"{made}b"
        last = made
        if number % 3 == 0:
            ends[made] = [4, 4]
    ends[last] = [4, 4]
    graph = model(nodes, {"x": [4, 4]}, dict(ends), constants)
    converted = lowered(graph, precision)
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    evaluate = [ReferenceEvaluator(one).run(None, {"x": x}) for one in (graph, converted)]
    for wanted, got in zip(*evaluate, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=0.1, atol=0.1)
