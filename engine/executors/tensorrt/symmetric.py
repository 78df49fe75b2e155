"""Quantisers as TensorRT takes them: int8 around zero, one scale for all channels of an activation."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


def symmetric(model: ModelProto) -> ModelProto:
    """A quantised graph, as `int8` makes it, with one symmetric int8 quantiser for each activation.

    It covers all that the one in its place covered; where that was one-sided, as behind a ReLU, its steps
    are twice as wide.
    """
    made = ModelProto()
    made.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    changed: set[str] = set()
    for node in made.graph.node:
        if node.op_type not in QUANTISERS or node.input[0] in constants:  # weights are symmetric already
            continue
        scale, zero = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:3])
        low, high = (0, 255) if constants[node.input[2]].data_type == TensorProto.UINT8 else (-128, 127)
        reach = np.max(np.maximum((high - zero) * scale, (zero - low) * scale))
        names = [f"{node.input[1]}/symmetric", f"{node.input[2]}/symmetric"]
        if names[0] not in changed:
            changed.add(names[0])
            made.graph.initializer.extend(
                [
                    numpy_helper.from_array(np.asarray(reach / 127, np.float32), names[0]),
                    helper.make_tensor(names[1], TensorProto.INT8, [], [0]),
                ]
            )
        node.input[1:3] = names
        axis = [attribute for attribute in node.attribute if attribute.name == "axis"]
        for attribute in axis:
            node.attribute.remove(attribute)
    used = {name for node in made.graph.node for name in node.input}
    kept = [tensor for tensor in made.graph.initializer if tensor.name in used]
    made.graph.value_info.clear()  # it names types that have changed
    made.graph.initializer.clear()
    made.graph.initializer.extend(kept)
    return made
