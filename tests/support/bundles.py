"""Small real bundles for tests: the network is a few lines of ONNX whose answer can be computed by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.manifests import write_bundle

SIDE = 32


def brightness_graph(gain: float = 8.0) -> onnx.ModelProto:
    """image (N, 3, 32, 32) -> logit (N, 1): `gain` times the mean of all values."""
    weight = numpy_helper.from_array(np.full((1, 3, 1, 1), gain / 3, np.float32), "weight")
    flat = numpy_helper.from_array(np.array([-1, 1], np.int64), "flat")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"], name="pool"),
        helper.make_node("Conv", ["mean", "weight"], ["score"], name="score"),
        helper.make_node("Reshape", ["score", "flat"], ["logit"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", 1])],
        [weight, flat],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def plain_bundle(
    folder: Path, name: str = "brightness", graph: onnx.ModelProto | bytes | None = None, **changed: Any
) -> Path:
    """Write a `plain` bundle that calls bright images synthetic -> its folder.

    The view is the whole image resized to 32x32 with values in -1..1, so the logit is 8 * mean and
    mid-grey (127.5) has logit 0. `graph` replaces the network, `changed` fields of the manifest.
    """
    graph = graph or brightness_graph()
    data = graph if isinstance(graph, bytes) else graph.SerializeToString()
    spec = {
        "inputs": {"image": ["N", 3, SIDE, SIDE]},
        "outputs": {"logit": ["N", 1]},
        "precisions": {"fp32": 0.0},
    }
    view = {
        "resize": "exact",
        "size": SIDE,
        "crop": "centre",
        "filter": "bilinear",
        "antialias": True,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    changed = {"calibration": {"method": "temperature", "temperature": 2.0}, **changed}
    return write_bundle(folder, "plain", name, view, {"classify": (data, spec)}, **changed)
