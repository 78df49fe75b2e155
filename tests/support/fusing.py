"""A `fusing` bundle and networks whose answers depend on the image, and photographs of odd sizes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.manifests import write_bundle

Pixels = NDArray[np.uint8]
SIDE, CELL, WIDTH, PATCHES = 224, 32, 8, 6

SIZES = (
    *((480, 640), (427, 640), (640, 427), (224, 224), (225, 223), (300, 300), (1200, 900)),
    *((100, 140), (111, 400), (60, 60), (33, 47), (40, 2000), (2000, 40)),
)
"""Height and width: photographs, and images smaller than a view, than a patch, or 1:50 long."""


def resized(height: int, width: int, seed: int = 0) -> Pixels:
    """A real photograph, cut to the aspect at a random place and then resized."""
    from PIL import Image

    photo = _photographs()[seed % 2]
    rows, columns = photo.shape[:2]
    scale = min(rows / height, columns / width)
    tall, wide = max(1, int(height * scale)), max(1, int(width * scale))
    random = np.random.default_rng(seed)
    top, left = random.integers(rows - tall + 1), random.integers(columns - wide + 1)
    cut = Image.fromarray(photo[top : top + tall, left : left + wide])
    return np.array(cut.resize((width, height), Image.Resampling.BICUBIC))


@cache
def _photographs() -> list[Pixels]:
    from sklearn.datasets import load_sample_images

    return [np.asarray(image) for image in load_sample_images().images]


def brightness_bundle(folder: Path, **changed: Any) -> Path:
    """Write a `fusing` bundle without learned weights -> its folder.

    The activation of a cell is its mean brightness 0..3 (three channels of 0..1), the embedding the mean of
    each channel and zeros; the logit is the mean red of the image less the mean red of all its patches; the
    attention to a patch is a seventh of its mean red.
    """
    files = {"backbone": _backbone(), "fuse": _fuse()}
    shapes: dict[str, Any] = {
        "backbone": {
            "inputs": {"image": ["N", 3, SIDE, SIDE]},
            "outputs": {"activation": ["N", 7, 7], "embedding": ["N", WIDTH]},
        },
        "fuse": {
            "inputs": {"tokens": ["N", PATCHES + 1, WIDTH]},
            "outputs": {"logit": ["N", 1], "attention": ["N", PATCHES]},
        },
    }
    written = {name: (model.SerializeToString(), shapes[name]) for name, model in files.items()}
    view = {
        "resize": "short_side",
        "size": SIDE,
        "crop": "centre",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    return write_bundle(folder, "fusing", "brightness", view, written, **changed)


def _backbone() -> onnx.ModelProto:
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        helper.make_node("ReduceSum", ["cells", "channel"], ["activation"], keepdims=0),
        helper.make_node("ReduceMean", ["cells", "area"], ["means"], keepdims=0),
        helper.make_node("Pad", ["means", "room"], ["embedding"]),
    ]
    return _model(
        nodes,
        {"image": ("N", 3, SIDE, SIDE)},
        {"activation": ("N", 7, 7), "embedding": ("N", WIDTH)},
        {"channel": [1], "area": [2, 3], "room": [0, 0, 0, WIDTH - 3]},
    )


def _fuse() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["tokens", "red"], ["reds"], axis=2),
        helper.make_node("Split", ["reds", "parts"], ["patches", "whole"], axis=1),
        helper.make_node("ReduceMean", ["patches", "tokens_axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["whole", "mean"], ["logit"]),
        helper.make_node("Mul", ["patches", "seventh"], ["attention"]),
    ]
    return _model(
        nodes,
        {"tokens": ("N", PATCHES + 1, WIDTH)},
        {"logit": ("N", 1), "attention": ("N", PATCHES)},
        {"red": 0, "parts": [PATCHES, 1], "tokens_axis": [1]},
        numpy_helper.from_array(np.float32(1 / 7), "seventh"),
    )


def _model(
    nodes: list[Any],
    inputs: dict[str, tuple[Any, ...]],
    outputs: dict[str, tuple[Any, ...]],
    integers: dict[str, Any],
    *constants: Any,
) -> onnx.ModelProto:
    initial = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in integers.items()]
    ports = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "brightness", *ports, [*initial, *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model
