"""Serve a classifier of your own: an ONNX file and a manifest are all that it takes.

pip install onnx                               # only to make the file of this example
python examples/own_classifier.py build/mine   # writes classify.onnx and manifest.json
assay scan photos/ --bundle build/mine

The network here is a stand-in: it finds how much fine detail an image has, and gives the softmax of two
classes, (synthetic, authentic). Put your own file in its place and describe it in the manifest.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from assay.engine.bundle import Bundle

SIDE = 224


def network() -> bytes:
    """image (N, 3, 224, 224) -> probabilities (N, 2)."""
    edges = np.zeros((1, 3, 3, 3), np.float32)
    edges[:, :] = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 3
    weights = {
        "edges": edges,
        "slopes": np.array([[-120.0, 120.0]], np.float32),  # little detail: synthetic; much: authentic
        "offsets": np.array([1.2, -1.2], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "edges"], ["detail"]),
        helper.make_node("Abs", ["detail"], ["strength"]),
        helper.make_node("ReduceMean", ["strength"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "slopes", "offsets"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "detail",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def manifest(graph: bytes) -> dict[str, object]:
    """What Assay must know of the network: its input, its output, and how to read a score."""
    return {
        "schema": 1,
        "kind": "plain",
        "name": "mine",
        "version": "1.0.0",
        "licence": "Apache-2.0",
        "view": {  # what the network sees of an image: here its original pixels, values from 0 to 1
            "resize": "none",
            "size": SIDE,
            "crop": "centre",
            "small": "wrap",
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        },
        "min_side": 64,
        "parameters": {"output": "probabilities", "activation": "softmax", "synthetic_index": 0},
        "graphs": {
            "classify": {
                "file": "classify.onnx",
                "sha256": hashlib.sha256(graph).hexdigest(),
                "inputs": {"image": ["N", 3, SIDE, SIDE]},
                "outputs": {"probabilities": ["N", 2]},
            }
        },
        "thresholds": {"synthetic": 0.8, "authentic": 0.2},  # between them: uncertain
    }


def main(folder: str) -> None:
    graph, out = network(), Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "classify.onnx").write_bytes(graph)
    (out / "manifest.json").write_text(json.dumps(manifest(graph), indent=1))
    bundle = Bundle.load(out)  # checks what can be checked without running it
    print(f"bundle {bundle.name} {bundle.version} in {out}: assay scan photos/ --bundle {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
