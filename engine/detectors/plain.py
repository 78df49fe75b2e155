"""`plain`: any image classifier. Views in, one logit out, averaged over the crops of an image.

Graph `classify`: image (N, 3, S, S) -> logit (N, 1). With a further output `distance` (N, 1) it says how far
a view is from those that it was trained on; an image's distance is the mean over its views. Someone else's
ONNX is served by naming in `parameters` the `output` to read, its `activation` and the `synthetic_index` in
its last axis. `more_views` adds crops by further rules, such as the whole image made smaller beside crops of
its own pixels. With `crops` "adaptive" they are looked at only where those of the manifest's `view` leave the
verdict open.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

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
    crops: Literal["all", "adaptive"] = "all"
    """Whether every image is cut by all rules, or by `more_views` only where `view` did not settle it."""
    margin: FiniteFloat = Field(1.5, ge=0)
    """How far beyond a threshold, in log-odds of the probability, `view` alone settles an image."""


def rules(manifest: Manifest) -> tuple[ViewRule, ...]:
    """All rules by which an image is cut, the manifest's `view` first."""
    return (manifest.view, *Parameters.model_validate(manifest.parameters).more_views)


def all_crops(manifest: Manifest) -> Manifest:
    """The manifest with every image cut by all rules: what calibration and precisions are measured with, as a
    rounding that settles one image more would hide what rounding does to a logit."""
    if "crops" not in manifest.parameters:
        return manifest
    return manifest.model_copy(update={"parameters": {**manifest.parameters, "crops": "all"}})


def check(manifest: Manifest) -> None:
    """Raises ValueError where a further rule gives other tensors than the first, or there is none to add."""
    first = manifest.view
    parameters = Parameters.model_validate(manifest.parameters)
    if parameters.crops == "adaptive" and not parameters.more_views:
        raise ValueError('parameters.crops "adaptive" needs parameters.more_views, the crops to add')
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
    look = _Looking(graphs["classify"], manifest, parameters, watch)
    if parameters.crops == "all":
        return look(images, (manifest.view, *parameters.more_views)).detections()
    seen = look(images, (manifest.view,))
    detections = seen.detections()
    left = [
        place for place, one in enumerate(detections) if not _settled(one.logit, manifest, parameters.margin)
    ]
    if left:
        added = look([images[place] for place in left], parameters.more_views)
        for place, detection in zip(left, seen.with_more(left, added).detections(), strict=True):
            detections[place] = detection
    return detections


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the graph said of N images: (N, C) logits of their views, (N, C) distances where it gives them."""

    logits: NDArray[np.float64]
    distances: NDArray[np.float64] | None

    def with_more(self, places: Sequence[int], more: "_Seen") -> "_Seen":
        """The images at `places`, with further views."""
        distances = None
        if self.distances is not None and more.distances is not None:
            distances = np.concatenate([self.distances[places], more.distances], axis=1)
        return _Seen(np.concatenate([self.logits[places], more.logits], axis=1), distances)

    def detections(self) -> list[Detection]:
        means = self.logits.mean(axis=1).tolist()
        distances = [None] * len(means) if self.distances is None else self.distances.mean(axis=1).tolist()
        return [
            Detection(mean, _evidence(row), distance=distance)
            for mean, row, distance in zip(means, self.logits.tolist(), distances, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Looking:
    """Cuts images by rules and asks the graph of all views at once."""

    graph: Graph
    manifest: Manifest
    parameters: Parameters
    watch: Stopwatch

    def __call__(self, images: Sequence[Image], rules: Sequence[ViewRule]) -> _Seen:
        with self.watch.stage("view"):
            views = _views(images, rules)
        with self.watch.stage("classify"):
            outputs = self.graph(views)
        names = list(self.manifest.graphs["classify"].outputs)
        output = self.parameters.output
        scores = outputs[names.index(output) if output else 0]
        logits = _logits(scores, self.parameters).reshape(len(images), -1)
        if DISTANCE not in names:
            return _Seen(logits, None)
        of_views = on_host(outputs[names.index(DISTANCE)]).reshape(len(images), -1)
        return _Seen(logits, of_views.astype(np.float64))


def _settled(logit: float, manifest: Manifest, margin: float) -> bool:
    """Whether the probability lies beyond a threshold by `margin` at least, in log-odds."""
    odds, limits = _log_odds(manifest.calibration.probability(logit)), manifest.thresholds
    return odds >= _log_odds(limits.synthetic) + margin or odds <= _log_odds(limits.authentic) - margin


def _log_odds(probability: float) -> float:
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    return math.log(probability) - math.log1p(-probability)


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
