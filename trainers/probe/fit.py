"""A logistic layer on embeddings, and the bundle that serves it."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from assay.engine.bundle import SCHEMA, GraphSpec, Manifest, Thresholds
from assay.engine.errors import SetupError
from assay.kernels import ViewRule
from assay.trainers.data.samples import Sample, of_split
from assay.trainers.export.calibrate import folds_of
from assay.trainers.probe.backbone import LOGIT, Backbone
from assay.trainers.probe.features import Features

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse L2 penalties that are tried on held-out sources, the strongest penalty first."""

Views: TypeAlias = Literal["stored", "reduced", "both"]


@dataclass(frozen=True)
class Probe:
    """logit = embedding (D,) @ weights (D,) + bias.

    strength: the inverse penalty. loss: the mean cross-entropy on held-out sources, both classes weighing the
        same.
    """

    weights: NDArray[np.float64]
    bias: float
    strength: float
    loss: float


def split_samples(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """To train on, and to calibrate on: the splits `train` and `val`, or else a fifth held out,
    whole sources and generators where each class has several.

    Raises SetupError where a class or a split is missing.
    """
    if {sample.label for sample in samples} != {0, 1}:
        raise SetupError("a probe needs photographs and synthetic images; one of them is missing")
    if any(sample.split for sample in samples):
        return of_split(samples, "train"), of_split(samples, "val")
    order = np.random.default_rng(seed).permutation(len(samples))
    shuffled = [samples[place] for place in order]
    held_out = folds_of(shuffled)[0] == 0
    if held_out.all():
        raise SetupError("a probe needs two photographs and two synthetic images or more")
    return (
        [sample for sample, out in zip(shuffled, held_out, strict=True) if not out],
        [sample for sample, out in zip(shuffled, held_out, strict=True) if out],
    )


def fit_probe(features: Features) -> Probe:
    """The layer of the penalty that does best on held-out sources, then fitted on all rows.

    Raises SetupError where a class is missing.
    """
    count, views, width = features.values.shape
    rows = features.values.reshape(count * views, width).astype(np.float64)
    labels = np.repeat([sample.label for sample in features.samples], views)
    if len(np.unique(labels)) < 2:
        raise SetupError("a probe needs photographs and synthetic images; none of one class can be read")
    folds = np.repeat(folds_of(features.samples)[0], views)
    losses = {strength: _held_out_loss(rows, labels, folds, strength) for strength in STRENGTHS}
    strength = min(losses, key=lambda name: losses[name])
    return Probe(*_fit(rows, labels, strength), strength, losses[strength])


def view_rules(
    side: int, views: Views, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[ViewRule, ...]:
    """What the backbone sees of an image: its stored pixels, all of it made smaller, or both."""
    scale = {"mean": mean, "std": std}
    try:
        stored = ViewRule(resize="none", size=side, crop="centre", small="wrap", **scale)  # type: ignore[arg-type]
        reduced = ViewRule(resize="short_side", size=side, crop="centre", **scale)  # type: ignore[arg-type]
    except ValueError as error:
        raise SetupError(str(error)) from None
    return {"stored": (stored,), "reduced": (reduced,), "both": (stored, reduced)}[views]


def manifest_of(
    backbone: Backbone, rules: Sequence[ViewRule], graph: bytes, min_side: int, **named: object
) -> Manifest:
    """How the probe is served, not yet calibrated; `named` has its name, version, licence and training."""
    return Manifest.model_validate(
        {
            "schema": SCHEMA,
            "kind": "plain",
            "view": asdict(rules[0]),
            "min_side": min_side,
            "parameters": {"more_views": [asdict(rule) for rule in rules[1:]]} if rules[1:] else {},
            "graphs": {
                "classify": GraphSpec(
                    file="classify.onnx",
                    sha256=hashlib.sha256(graph).hexdigest(),
                    inputs={backbone.image: ("N", 3, backbone.side, backbone.side)},
                    outputs={LOGIT: ("N", 1)},
                )
            },
            "thresholds": Thresholds(synthetic=0.5, authentic=float(np.nextafter(0.5, 0))),
            **named,
        }
    )


def write_graph(folder: Path, graph: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classify.onnx").write_bytes(graph)


def _fit(
    rows: NDArray[np.float64], labels: NDArray[np.int64], strength: float
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias for rows as they are; inside they have mean 0 and deviation 1."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation = np.where(deviation > 1e-6 * (np.abs(mean) + 1e-12), deviation, np.inf)  # constant: no weight
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough to the optimum of a penalised loss
        model.fit((rows - mean) / deviation, labels)
    weights = model.coef_[0] / deviation
    return weights, float(model.intercept_[0] - weights @ mean)


def _held_out_loss(
    rows: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64], strength: float
) -> float:
    """NaN where there is nothing to hold out."""
    if not folds.any():
        return float("nan")
    losses = np.zeros(len(labels))
    for fold in np.unique(folds):
        own = folds == fold
        weights, bias = _fit(rows[~own], labels[~own], strength)
        losses[own] = np.logaddexp(0.0, np.where(labels[own] == 1, -1.0, 1.0) * (rows[own] @ weights + bias))
    return float(np.mean([losses[labels == label].mean() for label in (0, 1)]))
