"""The logistic layer on the logits of several detectors, and where the first of them is enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from assay.engine.bundle import Calibration, Thresholds
from assay.engine.detectors.ensemble import Stop
from assay.engine.errors import SetupError
from assay.trainers.evaluate.reliability import class_weights
from assay.trainers.evaluate.score import Scored
from assay.trainers.export.calibrate import fit_calibration, folds_of

PENALTY = 1e-3
"""Of the squared weights, each for logits of deviation 1: members that agree share what there is to say."""
Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """logit = logits (M,) @ weights (M,) + bias; no weight is below 0."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, logits: Logits) -> Logits:
        """(n, M) -> (n,)"""
        combined: Logits = logits @ np.array(self.weights) + self.bias
        return combined


@dataclass(frozen=True)
class Compared:
    """Mean cross-entropy on held-out images, both classes weighing the same: of the layer (`ensemble`) and of
    each member alone, calibrated by temperature. `folds`: what was held out at a time. Empty where there are
    too few images."""

    losses: Mapping[str, float]
    folds: str


def fit_layer(logits: Logits, labels: NDArray[np.int64]) -> Layer:
    """The layer of least cross-entropy, both classes weighing the same. logits: (n, M); labels: (n,) 0 or 1.

    Weights are at least 0, so that no image becomes less synthetic because a member finds it more so.
    Raises SetupError where a class is missing.
    """
    if set(np.unique(labels)) != {0, 1}:
        raise SetupError("a layer needs photographs and synthetic images; one of them is missing")
    mean, deviation = logits.mean(axis=0), np.maximum(logits.std(axis=0), 1e-9)
    scaled = (logits - mean) / deviation
    share, signs = class_weights(labels), np.where(labels == 1, -1.0, 1.0)

    def loss(parameters: Logits) -> tuple[float, Logits]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = signs * (scaled @ weights + bias)
        slopes = share * signs / (1 + np.exp(-np.clip(margins, -500, 500)))
        value = float(share @ np.logaddexp(0.0, margins)) + PENALTY * float(weights @ weights)
        return value, np.array([*(scaled.T @ slopes + 2 * PENALTY * weights), slopes.sum()])

    count = logits.shape[1]
    bounds = [(0.0, None)] * count + [(None, None)]
    start = np.array([1.0 / count] * count + [0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    weights = found.x[:-1] / deviation
    return Layer(tuple(weights.tolist()), float(found.x[-1] - weights @ mean))


def compare(logits: Logits, scored: Scored, names: Sequence[str]) -> Compared:
    """The layer held against its members on sources and generators that neither was fitted on."""
    labels, (folds, of) = scored.labels, folds_of(scored.samples)
    if not folds.any():
        return Compared({}, of)
    found = {name: np.zeros(len(labels)) for name in ("ensemble", *names)}
    for fold in np.unique(folds):
        own = folds == fold
        found["ensemble"][own] = fit_layer(logits[~own], labels[~own])(logits[own])
        for place, name in enumerate(names):
            found[name][own] = _alone(_part(scored, logits[:, place], ~own))(logits[own][:, [place]])
    weights, signs = class_weights(labels), np.where(labels == 1, -1.0, 1.0)
    losses = {name: float(weights @ np.logaddexp(0.0, signs * values)) for name, values in found.items()}
    return Compared(losses, of)


def fit_stop(
    logits: Logits,
    scored: Scored,
    layer: Layer,
    calibration: Calibration,
    thresholds: Thresholds,
    changed: float,
) -> Stop | None:
    """The widest region in which the first member alone may decide.

    At most a share of `changed` of the images get another label by it than by all members, half of that on
    each side. None where there is no such region.
    """
    alone = _alone(_part(scored, logits[:, 0], np.ones(len(logits), bool)))
    first = logits[:, 0]
    label = [thresholds.label(calibration.probability(logit)) for logit in layer(logits)]
    quick = [thresholds.label(calibration.probability(logit)) for logit in alone(logits[:, :1])]
    other = np.array([one != two for one, two in zip(label, quick, strict=True)])
    allowed = int(changed * len(first) / 2)
    above, below = _edge(first, other, allowed), -_edge(-first, other, allowed)
    if below >= above:  # everything may stop: then the median parts what lies above from what lies below
        middle = float(np.median(first))
        below, above = middle, float(np.nextafter(middle, np.inf))
    if not (np.isfinite(below) or np.isfinite(above)):
        return None
    beyond = 1e6  # a side on which nothing stops
    return Stop(
        below=max(below, -beyond),
        above=min(above, beyond),
        weight=alone.weights[0],
        bias=alone.bias,
    )


def _edge(first: Logits, other: NDArray[np.bool_], allowed: int) -> float:
    """The least logit from which on at most `allowed` images change; infinite where none may."""
    order = np.argsort(-first, kind="stable")
    fits = np.cumsum(other[order]) <= allowed
    count = len(fits) if fits.all() else int(np.argmin(fits))
    values = first[order]
    while count and count < len(values) and values[count - 1] == values[count]:
        count -= 1  # equal logits stop together
    return float(values[count - 1]) if count else float("inf")


def _alone(scored: Scored) -> Layer:
    """One member's logits as a layer of one weight."""
    fitted = fit_calibration(scored)
    return Layer((1 / fitted.temperature,), -fitted.shift / fitted.temperature)


def _part(scored: Scored, logits: Logits, kept: NDArray[np.bool_]) -> Scored:
    samples = tuple(sample for sample, one in zip(scored.samples, kept, strict=True) if one)
    return Scored(samples, logits[kept], scored.sides[kept])
