"""What a peer's worker does with images: decode, cut the centre, normalise, infer.

As an engineer would write it who has no engine: libjpeg-turbo, NumPy, and OpenVINO with one thread, one
stream and a compiled model for each size of a batch. No image is checked and none is isolated.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import simplejpeg
from numpy.typing import NDArray


class Views:
    """Encoded JPEGs -> (N, 3, S, S) float32 by the manifest's `view`: the centre of stored pixels."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        rule = manifest["view"]
        self._size: int = rule["size"]
        std = np.array(rule["std"])
        self._scale = (1 / (255 * std)).astype(np.float32)
        self._bias = (-np.array(rule["mean"]) / std).astype(np.float32)

    def __call__(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        out = np.empty((len(images), 3, self._size, self._size), np.float32)
        for view, data in zip(out, images, strict=True):
            pixels = simplejpeg.decode_jpeg(data)
            top, left = ((side - self._size) // 2 for side in pixels.shape[:2])
            planes = pixels[top : top + self._size, left : left + self._size].transpose(2, 0, 1)
            np.multiply(planes, self._scale[:, None, None], out=view)
            np.add(view, self._bias[:, None, None], out=view)
        return out


class Calibrated:
    """Logits -> probabilities, by the manifest."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._temperature: float = manifest["calibration"]["temperature"]
        self._shift: float = manifest["calibration"]["shift"]

    def __call__(self, logits: NDArray[np.float32]) -> list[float]:
        return [1 / (1 + math.exp((self._shift - logit) / self._temperature)) for logit in logits.tolist()]


class Network:
    """Encoded JPEGs -> probabilities, with OpenVINO.

    In "best" it chooses the precision of what is not int8: bfloat16 where the CPU has it.
    """

    def __init__(self, bundle: Path, precision: str, batch: int) -> None:
        manifest = read_manifest(bundle)
        graph = manifest["graphs"]["classify"]
        self._views, self._calibrated = Views(manifest), Calibrated(manifest)
        file = bundle / (graph["file"] if precision == "fp32" else graph["int8"]["file"])
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if precision != "best":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        core = ov.Core()
        model = core.read_model(file)
        self._requests = {}
        for size in range(1, batch + 1):
            model.reshape([size, *graph["inputs"]["image"][1:]])
            self._requests[size] = core.compile_model(model, "CPU", options).create_infer_request()

    def __call__(self, images: Sequence[bytes]) -> list[float]:
        """Of at most `batch` images."""
        result = self._requests[len(images)].infer([self._views(images)], share_inputs=True)
        return self._calibrated(next(iter(result.values())).reshape(-1))


def read_manifest(bundle: Path) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((bundle / "manifest.json").read_text("utf-8"))
    return words
