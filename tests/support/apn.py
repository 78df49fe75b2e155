"""An `apn` bundle without learned weights, whose answers can be worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.manifests import write_bundle

SIDE, PROPOSALS = 64, 2
ALL, NONE = (0.0, 1.0, 0.0, 1.0), (0.5, 0.5, 0.9, 0.1)
"""A cross that holds everything, and one that holds row 0 and column 0 alone."""


def bands_bundle(
    folder: Path, *, amplitude: Any = (ALL, NONE), phase: Any = (ALL, ALL), **changed: Any
) -> Path:
    """Write an `apn` bundle -> its folder.

    It proposes the same K bands, (K, 4), for every image and colour. The logit is the mean of the view's last
    colour less that of the first purified view's; the confidence in a purified view is the mean over colours.
    """
    half, bands = ["N", 3, SIDE, SIDE // 2 + 1], ["N", 3, PROPOSALS, 4]
    shapes: dict[str, Any] = {
        "propose": {
            "inputs": {"amplitude": half, "phase": half},
            "outputs": {"amplitude_bands": bands, "phase_bands": bands},
        },
        "classify": {
            "inputs": {"image": ["N", 3, SIDE, SIDE], "purified": ["N", PROPOSALS, 3, SIDE, SIDE]},
            "outputs": {"logit": ["N", 1], "confidence": ["N", PROPOSALS]},
        },
    }
    written = {}
    models = {"propose": _propose(amplitude, phase), "classify": _classify()}
    for name, (nodes, constants) in models.items():
        ports = [
            [helper.make_tensor_value_info(port, TensorProto.FLOAT, shape) for port, shape in side.items()]
            for side in (shapes[name]["inputs"], shapes[name]["outputs"])
        ]
        graph = helper.make_graph(nodes, name, *ports, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        written[name] = model.SerializeToString(), shapes[name]
    view = {
        "resize": "none",
        "size": SIDE,
        "crop": "centre",
        "small": "wrap",
        "channels": "bgr",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    return write_bundle(folder, "apn", "bands", view, written, **changed)


def _propose(amplitude: Any, phase: Any) -> tuple[list[Any], list[Any]]:
    """Constant bands, as many times as there are images."""
    nodes, constants = [], [numpy_helper.from_array(np.float32(0), "zero"), _integers("axes", [1, 2, 3])]
    for name, bands in (("amplitude", amplitude), ("phase", phase)):
        repeated = np.broadcast_to(np.asarray(bands, np.float32), (1, 3, PROPOSALS, 4)).copy()
        constants.append(numpy_helper.from_array(repeated, f"{name}_constant"))
        nodes += [
            helper.make_node("ReduceMean", [name, "axes"], [f"{name}_mean"], keepdims=1),
            helper.make_node("Mul", [f"{name}_mean", "zero"], [f"{name}_nothing"]),
            helper.make_node("Add", [f"{name}_nothing", f"{name}_constant"], [f"{name}_bands"]),
        ]
    return nodes, constants


def _classify() -> tuple[list[Any], list[Any]]:
    nodes = [
        helper.make_node("Gather", ["image", "last"], ["colour"], axis=1),
        helper.make_node("ReduceMean", ["colour", "plane"], ["brightness"], keepdims=0),
        helper.make_node("Gather", ["purified", "first"], ["one"], axis=1),
        helper.make_node("Gather", ["one", "last"], ["kept"], axis=2),
        helper.make_node("ReduceMean", ["kept", "planes"], ["kept_brightness"], keepdims=0),
        helper.make_node("Sub", ["brightness", "kept_brightness"], ["logit"]),
        helper.make_node("ReduceMean", ["purified", "planes"], ["confidence"], keepdims=0),
    ]
    axes = {"last": [2], "first": [0], "plane": [2, 3], "planes": [2, 3, 4]}
    return nodes, [_integers(name, values) for name, values in axes.items()]


def _integers(name: str, values: list[int]) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64), name)
