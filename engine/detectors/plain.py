"""`plain`: any image classifier. Views in, one logit out, averaged over the crops of an image.

Graph `classify`: image (N, 3, S, S) -> logit (N, 1). Someone else's ONNX is served by naming in
`parameters` the `output` to read, its `activation` and the `synthetic_index` in its last axis.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Detection, Graph, Image, Stopwatch
from assay.kernels import view
from assay.kernels.arrays import Array, on_host


class Parameters(BaseModel):
    """How the output of the graph is read."""

    model_config = ConfigDict(extra="forbid")

    output: str | None = None
    """Which output holds the score; the first one where none is named."""
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    """What the graph has already applied to its scores (or, for `none` with several classes, has not)."""
    synthetic_index: int = 0
    """Where in the last axis `synthetic` stands."""


def intermediate_bytes(manifest: Manifest) -> int:
    """Bytes of float32 input that one image puts into the graphs, counted generously (twice)."""
    rule = manifest.view
    return 2 * rule.crops * 3 * rule.size * rule.size * 4


def detect(
    images: Sequence[Image], graphs: Mapping[str, Graph], manifest: Manifest, watch: Stopwatch
) -> list[Detection]:
    parameters = Parameters.model_validate(manifest.parameters)
    with watch.stage("view"):
        views = view(images, manifest.view)
    with watch.stage("classify"):
        outputs = graphs["classify"](views)
    names = list(manifest.graphs["classify"].outputs)
    scores = outputs[names.index(parameters.output) if parameters.output else 0]
    logits = _logits(scores, parameters).reshape(len(images), -1)
    return [Detection(float(row.mean()), _evidence(row)) for row in logits]


def _evidence(logits: NDArray[np.float64]) -> dict[str, Any]:
    """The logit of each crop, where there are several: a lone high one points at a local edit."""
    return {"crop_logits": [round(float(logit), 4) for logit in logits]} if len(logits) > 1 else {}


def _logits(scores: Array, parameters: Parameters) -> NDArray[np.float64]:
    """(N, classes) scores -> (N,) logits of synthetic against all other classes, in float64, on the host."""
    values = on_host(scores).reshape(len(scores), -1).astype(np.float64)
    chosen = values[:, parameters.synthetic_index]
    if parameters.activation == "none":
        if values.shape[1] == 1:
            return chosen
        others = np.delete(values, parameters.synthetic_index, axis=1)
        return np.asarray(chosen - np.logaddexp.reduce(others, axis=1))
    tiny = np.finfo(np.float32).tiny
    return np.asarray(np.log(np.maximum(chosen, tiny)) - np.log(np.maximum(1 - chosen, tiny)))
