"""Whether a probability means what it says: of images called 70 %, are seven in ten synthetic?

Photographs and synthetic images weigh the same, whatever their numbers: a bundle is calibrated for that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of equal width, as Guo et al. (On Calibration of Modern Neural Networks, 2017) have them."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Images with a probability from `low` to `high`: their share of all weight, their mean probability, and
    how much of their weight is synthetic."""

    low: float
    high: float
    share: float
    probability: float
    synthetic: float


def class_weights(labels: NDArray[np.int64]) -> Values:
    """(n,) weights that add up to 1, the same for each class that there is."""
    counts = np.bincount(labels, minlength=2)
    each = 1 / counts[labels]
    weights: Values = each / each.sum()
    return weights


def reliability(labels: NDArray[np.int64], probabilities: Values, bins: int = BINS) -> list[Bin]:
    """The bins that hold images; the last one has both of its ends."""
    weights = class_weights(labels)
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    shares = np.bincount(place, weights, bins)
    sums = np.bincount(place, weights * probabilities, bins)
    synthetic = np.bincount(place, weights * labels, bins)
    return [
        Bin(
            at / bins,
            (at + 1) / bins,
            float(shares[at]),
            float(sums[at] / shares[at]),
            float(synthetic[at] / shares[at]),
        )
        for at in shares.nonzero()[0].tolist()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error (ECE): how far the bins are off, by their shares."""
    return sum(one.share * abs(one.probability - one.synthetic) for one in bins)
