"""An ONNX graph as a torch module. Nothing in the file is run: it is read as a list of operators and weights.

What is known when the graph is converted, and what follows from the shape of an input, is numbers of Python
and never a tensor, so that on a GPU no value has to be fetched and a CUDA graph can be captured.
"""

from typing import Any

import numpy as np
import torch
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    inliner,
    numpy_helper,
    shape_inference,
)
from torch import fx, nn

from assay.engine.executors.onnx_operators import OPERATORS

TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.BOOL: torch.bool,
}
LOW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
NUMBERS = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"), (1,)),
}
"""Inputs that torch takes as numbers, by operator."""
MAKERS = ("ConstantOfShape", "Range")
"""Operators that make a tensor from numbers alone."""
MOVES = ("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
         "Tile", "Transpose", "Unsqueeze")  # fmt: skip
"""Operators that round nothing."""


def torch_module(model: ModelProto, device: str = "cpu", emulate: bool = False) -> nn.Module:
    """`model` as a module on `device`, whose inputs and outputs are those of the graph, in order.

    emulate: what the graph computes in fp16 or bf16 is computed in float32, and after each operator rounded
    as a device rounds it that adds up in float32. Weights are rounded in the graph already.

    Raises:
        ValueError: an operator is unknown, or used in a way that is; the sentence names the node.
    """
    model = shape_inference.infer_shapes(inliner.inline_local_functions(model))
    return _Conversion(model, device, emulate).module()


class _Conversion:
    """One graph being converted, node by node."""

    def __init__(self, model: ModelProto, device: str, emulate: bool) -> None:
        self._model = model.graph
        self._device = device
        self._emulate = emulate
        self._root = nn.Module()
        self._graph = fx.Graph()
        self._values: dict[str, Any] = {}
        self._numbers: set[str] = set()
        self._constants = {tensor.name: tensor for tensor in self._model.initializer}
        self._buffers: dict[str, fx.Node] = {}
        self._types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*self._model.input, *self._model.value_info, *self._model.output)
        }

    def module(self) -> nn.Module:
        for place, value in enumerate(self._model.input):
            if value.name not in self._constants:
                self._values[value.name] = self._graph.placeholder(f"input_{place}")
        for node in self._model.node:
            try:
                self._add(node)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"node {node.name or node.output[0]!r} ({node.op_type}): {error}") from None
        outputs = [self._values[value.name] for value in self._model.output]
        self._graph.output(tuple(outputs))
        return fx.GraphModule(self._root, self._graph).eval()

    def _add(self, node: NodeProto) -> None:
        if node.op_type == "Constant":
            [attribute] = node.attribute
            value = helper.get_attribute_value(attribute)
            if not isinstance(value, TensorProto):
                kind = np.float32 if attribute.name.startswith("value_float") else np.int64
                value = numpy_helper.from_array(np.asarray(value, kind))
            self._constants[node.output[0]] = value
            return
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise ValueError("there is no such operator among those that are known")
        kwargs = {attribute.name: self._attribute(attribute) for attribute in node.attribute}
        if node.op_type in MAKERS:
            kwargs["device"] = self._device
        given = [name for name in node.input if name and name not in self._constants]
        numbers = node.op_type == "Shape" or (
            bool(given) and self._numbers.issuperset(given) and node.op_type not in MAKERS
        )
        arguments = [self._argument(node, place, name, numbers) for place, name in enumerate(node.input)]
        if node.op_type == "Split" and not (arguments[1:] and arguments[1]):
            kwargs["num_outputs"] = len(node.output)
        made = self._graph.call_function(OPERATORS[node.op_type], tuple(arguments), kwargs)
        outputs = [name for name in node.output if name]
        if node.op_type == "Split":
            for place, name in enumerate(node.output):
                self._values[name] = self._graph.call_function(_part, (made, place))
            return
        if len(outputs) > 1:
            raise ValueError(f"it has {len(outputs)} outputs that are used")
        self._values[outputs[0]] = made if numbers else self._rounded(node, made)
        if numbers:
            self._numbers.add(outputs[0])

    def _argument(self, node: NodeProto, place: int, name: str, numbers: bool) -> Any:
        if not name:
            return None
        if name not in self._constants:
            return self._values[name]
        array = _array(self._constants[name])
        as_number = node.op_type == "Gather" and place == 1 and array.ndim == 0
        if numbers or as_number or place in NUMBERS.get(node.op_type, ()):
            return array.tolist()
        if name not in self._buffers:
            attribute = f"constant_{len(self._buffers)}"
            tensor = _tensor(self._constants[name])
            low = tensor.dtype in (torch.float16, torch.bfloat16)
            tensor = tensor.float() if low and self._emulate else tensor
            self._root.register_buffer(attribute, tensor.to(self._device))
            self._buffers[name] = self._graph.get_attr(attribute)
        return self._buffers[name]

    def _attribute(self, attribute: AttributeProto) -> Any:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "to":
            if self._emulate and value in LOW:
                value = TensorProto.FLOAT
            return TYPES[value]
        if isinstance(value, TensorProto):
            return _tensor(value)
        return value.decode() if isinstance(value, bytes) else value

    def _rounded(self, node: NodeProto, made: fx.Node) -> fx.Node:
        kind = self._types.get(node.output[0])
        if not self._emulate or kind not in LOW or (node.op_type in MOVES and node.op_type != "Cast"):
            return made
        return self._graph.call_function(rounded, (made, TYPES[kind]))


def rounded(values: torch.Tensor, to: torch.dtype) -> torch.Tensor:
    """float32 values that are values of the type `to`: the nearest, the even one of two as near."""
    return values.to(to).float()


def _part(parts: tuple[torch.Tensor, ...], place: int) -> torch.Tensor:
    return parts[place]


def _array(tensor: TensorProto) -> Any:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError(f"the values of {tensor.name!r} lie in another file")
    return numpy_helper.to_array(tensor)


def _tensor(tensor: TensorProto) -> torch.Tensor:
    array = _array(tensor)
    if tensor.data_type == TensorProto.BFLOAT16:  # NumPy has no such type of its own
        return torch.from_numpy(array.astype("float32")).to(torch.bfloat16)
    return torch.from_numpy(array.copy())
