"""What abstaining buys: the risk, the share of wrong answers, where only the surest images are answered.

Sure is what lies far from probability 0.5, and an answer is the side it lies on. Photographs and synthetic
images weigh the same, so a coverage is a share of weight. (Geifman and El-Yaniv, Selective Classification for
Deep Neural Networks, 2017; AURC: Geifman et al., Bias-Reduced Uncertainty Estimation, 2019.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.trainers.evaluate.reliability import class_weights

Values = NDArray[np.float64]


class Curve(NamedTuple):
    """coverage: (n,) rising to 1. risk: (n,) among so much of the images, the surest ones."""

    coverage: Values
    risk: Values


class Decided(NamedTuple):
    """What a bundle labels synthetic or authentic: how much of the images, and the share of that which is
    wrong; NaN where it labels none."""

    coverage: float
    risk: float


def risk_coverage(labels: NDArray[np.int64], probabilities: Values) -> Curve:
    """The curve, a point an image. Images that are equally sure are taken in no order: each is as wrong as
    they are on average."""
    weights = class_weights(labels)
    wrong = weights * ((probabilities > 0.5) != (labels == 1))
    sureness = np.abs(probabilities - 0.5).round(12)
    _, place = np.unique(-sureness, return_inverse=True)
    order = np.argsort(place, kind="stable")
    shared = np.bincount(place, wrong) / np.bincount(place, weights)
    weights, place = weights[order], place[order]
    coverage = weights.cumsum()
    return Curve(coverage / coverage[-1], (weights * shared[place]).cumsum() / coverage)


def area(curve: Curve) -> float:
    """The mean risk over all coverages (AURC): 0 for a detector that is never wrong."""
    return float(np.diff(curve.coverage, prepend=0.0) @ curve.risk)


def decided(labels: NDArray[np.int64], synthetic: NDArray[np.bool_], authentic: NDArray[np.bool_]) -> Decided:
    """Of images with these labels: those that were called `synthetic` and `authentic`, (n,) each."""
    weights = class_weights(labels)
    coverage = float(weights[synthetic | authentic].sum())
    wrong = float(weights[np.where(labels == 1, authentic, synthetic)].sum())
    return Decided(coverage, wrong / coverage if coverage else float("nan"))
