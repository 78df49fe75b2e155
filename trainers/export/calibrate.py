"""Turning logits into probabilities, and probabilities into labels, on images kept out of training."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from assay.engine.bundle import Calibration, Thresholds
from assay.engine.errors import SetupError
from assay.trainers.evaluate.score import Scored

LEAST = 20
"""A source of photographs with fewer images than this has no false-alarm rate of its own."""


def fit_calibration(scored: Scored) -> Calibration:
    """Temperature and shift of least cross-entropy, photographs and synthesised images weighing the same.

    Equal weight makes 0.5 the point where both are equally likely, whatever their numbers in the data.
    (Temperature: Guo et al., On Calibration of Modern Neural Networks, 2017.)
    """
    labels, logits = scored.labels, scored.logits
    _need_both(labels)
    weights = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())
    signs = np.where(labels == 1, -1.0, 1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        slope, shift = np.exp(-parameters[0]), parameters[1]
        return float(weights @ np.logaddexp(0.0, signs * (logits - shift) * slope))

    start = np.array([np.log(max(float(logits.std()), 1e-3)), float(np.median(logits))])
    # Separable data would drive the temperature to zero: it is kept within a factor of e**5 of the spread.
    bounds = [(start[0] - 5, start[0] + 5), (float(logits.min()), float(logits.max()))]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return Calibration(temperature=float(np.exp(found.x[0])), shift=float(found.x[1]))


def fit_thresholds(
    scored: Scored, calibration: Calibration, *, false_alarms: float, misses: float
) -> Thresholds:
    """Thresholds that hold two error rates on `scored`, with 0.5 between them.

    `synthetic` is at least 0.5, and so high that no source of photographs with 20 images or more has more
    than a share of `false_alarms` at or above it. `authentic` is below 0.5, and so low that no more than a
    share of `misses` of the synthesised images lies at or below it. What lies between is uncertain.
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
        raise SetupError("calibration needs photographs and synthesised images; one of them is missing")
