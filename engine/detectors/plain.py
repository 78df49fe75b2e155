"""`plain`: any image classifier. Views in, one logit out, averaged over the crops of an image.

Graph `classify`: image (N, 3, S, S) -> logit (N, 1). With a further output `distance` (N, 1) it says how far
a view is from those that it was trained on; an image's distance is the mean over its views. Someone else's
ONNX is served by naming in `parameters` the `output` to read, its `activation` and the `synthetic_index` in
its last axis. `more_views` adds crops by further rules, such as the whole image made smaller beside crops of
its own pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Detection, Graph, Image, Stopwatch
from assay.kernels import ViewRule, view
from assay.kernels.arrays import Array, on_host

DISTANCE = "distance"
"""The output that says how far a view is from those that were trained on."""


class Parameters(BaseModel):
    """How the output of the graph is read."""

    model_config = ConfigDict(extra="forbid")

    output: str | None = None
    """Which output holds the score; the first one where none is named."""
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    """What the graph has already applied to its scores (or, for `none` with several classes, has not)."""
    synthetic_index: int = 0
    """Where in the last axis `synthetic` stands."""
    more_views: tuple[ViewRule, ...] = ()
    """Rules beside the manifest's `view`, which differ from it in how they resize and crop alone."""


def rules(manifest: Manifest) -> tuple[ViewRule, ...]:
    """All rules by which an image is cut, the manifest's `view` first."""
    return (manifest.view, *Parameters.model_validate(manifest.parameters).more_views)


def check(manifest: Manifest) -> None:
    """Raises ValueError where a further rule gives other tensors than the first."""
    first = manifest.view
    for number, rule in enumerate(rules(manifest)[1:]):
        for name in ("size", "channels", "mean", "std"):
            if getattr(rule, name) != getattr(first, name):
                raise ValueError(
                    f"parameters.more_views.{number}.{name} must be that of view, {getattr(first, name)!r}, "
                    f"not {getattr(rule, name)!r}"
                )


def intermediate_bytes(manifest: Manifest) -> int:
    """Bytes of float32 input that one image puts into the graphs, counted generously (twice)."""
    return 2 * sum(rule.crops * 3 * rule.size * rule.size * 4 for rule in rules(manifest))


def detect(
    images: Sequence[Image],
    graphs: Mapping[str, Graph],
    manifest: Manifest,
    parameters: Parameters,
    watch: Stopwatch,
) -> list[Detection]:
    with watch.stage("view"):
        views = _views(images, (manifest.view, *parameters.more_views))
    with watch.stage("classify"):
        outputs = graphs["classify"](views)
    names = list(manifest.graphs["classify"].outputs)
    scores = outputs[names.index(parameters.output) if parameters.output else 0]
    logits = _logits(scores, parameters).reshape(len(images), -1)
    distances: list[float | None] = [None] * len(images)
    if DISTANCE in names:
        of_views = on_host(outputs[names.index(DISTANCE)]).reshape(len(images), -1)
        distances = of_views.mean(axis=1, dtype=np.float64).tolist()
    means = logits.mean(axis=1).tolist()
    return [
        Detection(mean, _evidence(row), distance=distance)
        for mean, row, distance in zip(means, logits.tolist(), distances, strict=True)
    ]


def _views(images: Sequence[Image], rules: Sequence[ViewRule]) -> Array:
    """(B*C, 3, S, S): the C views of an image by all rules side by side, in the order of the rules."""
    cut = [view(images, rule) for rule in rules]
    if len(cut) == 1:
        return cut[0]
    of_image = [views.reshape(len(images), -1, *views.shape[1:]) for views in cut]
    return np.concatenate(of_image, axis=1).reshape(-1, *cut[0].shape[1:])  # CuPy's, where they are CuPy's


def _evidence(logits: Sequence[float]) -> dict[str, Any]:
    """The logit of each crop, where there are several: a lone high one points at a local edit."""
    return {"crop_logits": [round(logit, 4) for logit in logits]} if len(logits) > 1 else {}


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
