"""Turning logits into probabilities, and probabilities into labels, on images kept out of training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from assay.engine.bundle import Calibration, Thresholds
from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.reliability import calibration_error, class_weights, reliability
from assay.trainers.evaluate.score import Scored

LEAST = 20
"""A source of photographs with fewer images than this has no false-alarm rate of its own."""
FOLDS = 5
"""Number of folds: each is held out once to compare methods."""

Method: TypeAlias = Literal["temperature", "isotonic"]


@dataclass(frozen=True)
class Choice:
    """A calibration, and how methods compare on images that they were not fitted on.

    losses: by method, the mean cross-entropy on held-out images, photographs and synthetic ones weighing the
    same; empty where there are too few images to hold any out. error: the held-out ECE of the method chosen,
    NaN where `losses` are empty. folds: what was held out at a time, `sources` or `images`.
    """

    calibration: Calibration
    losses: Mapping[Method, float]
    error: float
    folds: str


def choose_calibration(scored: Scored, method: Method | None = None) -> Choice:
    """Fit `method`, or where none is named the one of the least held-out loss, on all of `scored`.

    Raises SetupError where a class is missing.
    """
    labels = scored.labels
    _need_both(labels)
    folds, of = folds_of(scored.samples)
    held_out = {name: _held_out(name, scored, folds) for name in FITS} if folds.any() else {}
    losses = {name: _loss(labels, probabilities) for name, probabilities in held_out.items()}
    best: Method = min(FITS, key=lambda name: losses.get(name, 0.0))
    chosen = best if method is None else method
    error = calibration_error(reliability(labels, held_out[chosen])) if held_out else float("nan")
    return Choice(FITS[chosen](scored), losses, error, of)


def kept_calibration(calibration: Calibration) -> Choice:
    """The calibration that a bundle has already: nothing is fitted, so nothing is compared."""
    return Choice(calibration, {}, float("nan"), "")


def fit_calibration(scored: Scored) -> Calibration:
    """Temperature and shift of least cross-entropy, photographs and synthetic images weighing the same.

    Equal weight makes 0.5 the point where both are equally likely, whatever their numbers in the data.
    (Temperature: Guo et al., On Calibration of Modern Neural Networks, 2017.)
    """
    labels, logits = scored.labels, scored.logits
    _need_both(labels)
    weights = class_weights(labels)
    signs = np.where(labels == 1, -1.0, 1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        slope, shift = np.exp(-parameters[0]), parameters[1]
        return float(weights @ np.logaddexp(0.0, signs * (logits - shift) * slope))

    start = np.array([np.log(max(float(logits.std()), 1e-3)), float(np.median(logits))])
    # Separable data would drive the temperature to zero: it is kept within a factor of e**5 of the spread.
    bounds = [(start[0] - 5, start[0] + 5), (float(logits.min()), float(logits.max()))]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return Calibration(temperature=float(np.exp(found.x[0])), shift=float(found.x[1]))


def fit_isotonic(scored: Scored) -> Calibration:
    """The rising steps of least squared error, photographs and synthetic images weighing the same.

    No probability is nearer to 0 or 1 than the images of a class can tell, 1 in their number and 2.
    (Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, 2002.)
    """
    labels, logits = scored.labels, scored.logits
    _need_both(labels)
    low, high = (1 / (int((labels == label).sum()) + 2) for label in (1, 0))
    fit = IsotonicRegression().fit(logits, labels, class_weights(labels))
    across, up = fit.X_thresholds_, np.clip(fit.y_thresholds_, low, 1 - high)
    points = tuple(zip(across.tolist(), up.tolist(), strict=True))
    return Calibration(method="isotonic", points=points, shift=float(np.interp(0.5, up, across)))


FITS: Mapping[Method, Callable[[Scored], Calibration]] = {
    "temperature": fit_calibration,
    "isotonic": fit_isotonic,
}
"""In the order in which a tie goes."""


def folds_of(samples: Sequence[Sample]) -> tuple[NDArray[np.int64], str]:
    """(n,) the fold of each image, and what they are made of: whole sources and generators where each class
    has several, else single images. All 0 where a class has only one image."""
    labels = np.array([sample.label for sample in samples], np.int64)
    groups = np.array([sample.group for sample in samples])
    several = all(len(np.unique(groups[labels == label])) > 1 for label in (0, 1))
    folds = np.zeros(len(labels), np.int64)
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        units = [own[groups[own] == name] for name in np.unique(groups[own])] if several else own[:, None]
        sizes = np.zeros(min(FOLDS, len(units)), np.int64)
        for unit in sorted(units, key=len, reverse=True):  # the largest first, each to the smallest fold
            folds[unit] = sizes.argmin()
            sizes[sizes.argmin()] += len(unit)
        if len(sizes) < 2:
            return np.zeros(len(labels), np.int64), "images"
    return folds, "sources" if several else "images"


def _held_out(method: Method, scored: Scored, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) the probability of each image by a calibration fitted without its fold."""
    probabilities = np.empty(len(folds))
    for fold in np.unique(folds):
        own = folds == fold
        rest = [sample for sample, out in zip(scored.samples, own, strict=True) if not out]
        fitted = FITS[method](Scored(tuple(rest), scored.logits[~own], scored.sides[~own]))
        probabilities[own] = [fitted.probability(logit) for logit in scored.logits[own]]
    return probabilities


def _loss(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    right = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-class_weights(labels) @ np.log(np.maximum(right, np.finfo(float).tiny)))


def fit_thresholds(
    scored: Scored, calibration: Calibration, *, false_alarms: float, misses: float
) -> Thresholds:
    """Thresholds that hold two error rates on `scored`, with 0.5 between them.

    `synthetic` is at least 0.5, and so high that no source of photographs with 20 images or more has more
    than a share of `false_alarms` at or above it. `authentic` is below 0.5, and so low that no more than a
    share of `misses` of the synthetic images lies at or below it. What lies between is uncertain.
    """
    labels = scored.labels
    _need_both(labels)
    probabilities = np.array([calibration.probability(logit) for logit in scored.logits])
    sources = np.array([sample.group for sample in scored.samples])
    photos = [probabilities[(labels == 0) & (sources == source)] for source in np.unique(sources)]
    groups = [group for group in photos if len(group) >= LEAST] or [probabilities[labels == 0]]
    high = max(_least_above(group, false_alarms) for group in groups)
    low = 1 - _least_above(1 - probabilities[labels == 1], misses)
    return Thresholds(synthetic=max(high, 0.5), authentic=min(low, np.nextafter(0.5, 0)))


def _least_above(values: NDArray[np.float64], share: float) -> float:
    """The least threshold with at most a share of `values` at or above it."""
    descending = np.sort(values)[::-1]
    allowed = int(share * len(values))
    if allowed >= len(values):
        return float(descending[-1])
    return float(np.nextafter(descending[allowed], 2))


def _need_both(labels: NDArray[np.int64]) -> None:
    if len(np.unique(labels)) < 2:
        raise SetupError("calibration needs photographs and synthetic images; one of them is missing")
