"""Lower precisions of a graph, written into the graph itself: TensorRT's networks are strongly typed.

fp16 and bf16 are casts. Nodes compute in the lower type but for those that need fp32: sums over many values
(reductions, softmax, normalisations), functions that magnify rounding (exponentials, powers, roots),
divisions with what they divide by (1e-12 is zero in fp16), the logits of attention from the product of query
and key on, and the last linear layer. Inputs and outputs stay float32: a caller sees no difference.
"""

import re

import ml_dtypes
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper, shape_inference
from onnx import version_converter as versions

from assay.engine.errors import SetupError

TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
LARGEST: dict[int, float] = {TensorProto.FLOAT16: 65504.0, TensorProto.BFLOAT16: 3.3895e38}
"""The largest finite value, in bfloat16 a little below."""
BF16_OPSET = 22
"""The first in which convolution and pooling are defined for bfloat16."""

SENSITIVE = re.compile(
    r"(Log)?Softmax|\w*Normalization|Reduce(?!Max|Min)\w+|GlobalAveragePool|AveragePool|CumSum|Exp|Log|Pow|Sqrt|"
    r"Reciprocal|Div|Cast|Resize|(Dequantize|Quantize)Linear"
)
LINEAR = re.compile("MatMul|Gemm")
PASSING = re.compile(
    "Add|Sub|Mul|Neg|Where|Relu|Clip|Sigmoid|Concat|Expand|Flatten|Gather|Identity|Reshape|Slice|Split|Squeeze|"
    "Transpose|Unsqueeze"
)
"""What may stand between a linear layer and the softmax or the output that it is for."""


def lowered(model: ModelProto, precision: str) -> ModelProto:
    """`model`, computing in `precision`, "fp16" or "bf16", where that is safe.

    Raises:
        SetupError: the graph branches or loops, or ONNX cannot tell the types of its tensors.
    """
    try:
        if precision == "bf16" and _opset(model) < BF16_OPSET:
            model = versions.convert_version(model, BF16_OPSET)
        model = shape_inference.infer_shapes(inliner.inline_local_functions(model))
    except Exception as error:  # the checkers' own exceptions have no common base
        raise SetupError(f"the graph cannot be converted to {precision}: {error}") from None
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        raise SetupError(f"the graph branches or loops, so that it cannot be converted to {precision}")
    lowered = _Lowering(model, TYPES[precision]).graph()
    result = ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(lowered)
    onnx.checker.check_model(result, full_check=True)  # types agree at every node
    return result


def sensitive(model: ModelProto) -> set[str]:
    """Names of the first outputs of the nodes that stay in fp32."""
    producer = {output: node for node in model.graph.node for output in node.output}
    kept = {node.output[0] for node in model.graph.node if SENSITIVE.fullmatch(node.op_type)}
    logits = [node.input[0] for node in model.graph.node if "Softmax" in node.op_type]
    divisors = [node.input[1] for node in model.graph.node if node.op_type == "Div"]
    for tensor in (*logits, *divisors, *(output.name for output in model.graph.output)):
        kept |= _back_to_linear(tensor, producer)
    return kept


def _back_to_linear(tensor: str, producer: dict[str, NodeProto]) -> set[str]:
    """The nodes that `tensor` comes from, up to and with the nearest linear layers, where there are any."""
    found: set[str] = set()
    waiting = [tensor]
    while waiting:
        node = producer.get(waiting.pop())
        if node is None or node.output[0] in found:
            continue
        if PASSING.fullmatch(node.op_type):
            waiting += node.input
        elif not LINEAR.fullmatch(node.op_type):
            continue
        found.add(node.output[0])
    return found


class _Lowering:
    """One graph being rewritten, node by node."""

    def __init__(self, model: ModelProto, low: int) -> None:
        self._graph = model.graph
        self._low = low
        self._kept = sensitive(model)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._floats = {
            value.name
            for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT
        } | {name for name, tensor in self._constants.items() if tensor.data_type == TensorProto.FLOAT}
        self._type = dict.fromkeys(self._floats, int(TensorProto.FLOAT))
        self._nodes: list[NodeProto] = []
        self._made: dict[tuple[str, int], str] = {}
        self._new_constants: list[TensorProto] = []

    def graph(self) -> onnx.GraphProto:
        outputs = {output.name for output in self._graph.output}
        for node in self._graph.node:
            self._add(node, outputs)
        for name in outputs & self._floats:
            if self._type[name] == self._low:
                self._nodes.append(
                    helper.make_node("Cast", [_inner(name)], [name], f"{name}/float32", to=TensorProto.FLOAT)
                )
        used = {name for node in self._nodes for name in node.input} | outputs
        constants = [*self._constants.values(), *self._new_constants]
        graph = onnx.GraphProto()
        graph.CopyFrom(self._graph)
        for field in (graph.node, graph.initializer, graph.value_info):
            field.clear()
        graph.node.extend(self._nodes)
        graph.initializer.extend(tensor for tensor in constants if tensor.name in used)
        return graph

    def _add(self, node: NodeProto, outputs: set[str]) -> None:
        # a node that makes float32 from nothing, or from integers, goes on doing so
        kept = node.output[0] in self._kept or not self._floats.intersection(node.input)
        want = int(TensorProto.FLOAT) if kept else self._low
        new = NodeProto()
        new.CopyFrom(node)
        for index, name in enumerate(node.input):
            new.input[index] = self._as(name, want) if name in self._floats else name
        for index, name in enumerate(node.output):
            if name in self._floats:
                self._type[name] = want
                if name in outputs and want == self._low:
                    new.output[index] = _inner(name)
        self._nodes.append(new)

    def _as(self, name: str, want: int) -> str:
        """The tensor `name` in the type `want`: itself, a converted constant, or the output of a cast."""
        here = _inner(name) if self._is_low_output(name) else name
        if self._type[name] == want:
            return here
        if (name, want) not in self._made:
            made = f"{name}/{TensorProto.DataType.Name(want).lower()}"
            self._made[name, want] = made
            if name in self._constants:
                self._new_constants.append(_converted(self._constants[name], want, made))
            else:
                self._nodes.append(helper.make_node("Cast", [here], [made], made, to=want))
        return self._made[name, want]

    def _is_low_output(self, name: str) -> bool:
        return self._type[name] == self._low and any(output.name == name for output in self._graph.output)


def _converted(tensor: TensorProto, to: int, name: str) -> TensorProto:
    """A float32 constant in a lower type; what lies beyond the largest finite value becomes that."""
    values = numpy_helper.to_array(tensor)
    kind = np.dtype(np.float16) if to == TensorProto.FLOAT16 else np.dtype(ml_dtypes.bfloat16)
    largest = LARGEST[to]
    bounded = np.where(np.isfinite(values), np.clip(values, -largest, largest), values)
    made = TensorProto(name=name, data_type=to, dims=values.shape)
    made.raw_data = bounded.astype(kind).tobytes()
    return made


def _inner(name: str) -> str:
    """What an output is called before its last cast."""
    return f"{name}/lower"


def _opset(model: ModelProto) -> int:
    return next(int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))
