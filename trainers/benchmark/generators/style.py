"""Multi-style transfer: a feed-forward network (after Johnson et al., ECCV 2016) with 26 styles, in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assay.trainers.benchmark.generators.network import Network, Planes

STYLES = 26


def load(path: Path) -> Network:
    """The network of an ONNX file with inputs `image` (1, 3, H, W) and `style_weights` (26), run by OpenVINO.

    Every image gets one of the styles, chosen by its content, so that a build can be repeated.
    """
    from assay.engine.executors.openvino import openvino_core

    core = openvino_core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def network(planes: Planes) -> Planes:
        weights = np.zeros(STYLES, np.float32)
        weights[int(np.float64(planes.sum(dtype=np.float64) * 255)) % STYLES] = 1.0
        image = np.ascontiguousarray(planes.transpose(2, 0, 1)[None])
        # A request of its own for each image: one that is kept holds the memory of the largest it has seen.
        result = model.create_infer_request().infer({"image": image, "style_weights": weights})
        stylised: Planes = np.array(result[model.output(0)], dtype=np.float32)[0].transpose(1, 2, 0)
        return stylised

    return network
