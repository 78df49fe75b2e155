"""How far a figure may be off because the images are these and not others: 95 % confidence intervals.

Of areas and average precisions by bootstrap: images of each class are drawn from that class with replacement,
as many as there are, 1000 times, and the middle 95 % of the figures are the interval (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993). Of shares by Wilson's formula (1927), because the bootstrap of a
share of 0 has no width. Both ask about other images of the same generators and sources, not about other
generators.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES, SEED = 1000, 0
DISTINCT = 4096
"""Scores with more distinct values are put into bins of equal number, which bounds time and memory; the
area moves by less than 1 in 8000."""
_CHUNK = 1 << 21
_Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

Counts = NDArray[np.int64]


class Interval(NamedTuple):
    """Both ends; NaN where there is nothing to take a figure of."""

    low: float
    high: float


NONE = Interval(float("nan"), float("nan"))


def areas(labels: Counts, scores: NDArray[np.float64], seed: int = SEED) -> dict[str, Interval]:
    """`auc` and `average_precision` of (n,) labels, 1 for synthetic, and scores."""
    photographs, synthetic = counted(labels, scores)
    if not (photographs.any() and synthetic.any()):
        return {"auc": NONE, "average_precision": NONE}
    rng = np.random.default_rng(seed)
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    step = max(1, _CHUNK // len(photographs))
    for start in range(0, RESAMPLES, step):
        times = min(step, RESAMPLES - start)
        drawn = _redrawn(photographs, times, rng), _redrawn(synthetic, times, rng)
        found.append((auc_of(*drawn), average_precision_of(*drawn)))
    columns = (np.concatenate(column) for column in zip(*found, strict=True))
    return {
        name: Interval(*np.percentile(column, (2.5, 97.5)).tolist())
        for name, column in zip(("auc", "average_precision"), columns, strict=True)
    }


def share(part: int, of: int) -> Interval:
    """Of a share: `part` of `of` images."""
    if not of:
        return NONE
    rate, spread = part / of, _Z * _Z / of
    middle = rate + spread / 2
    half = _Z * np.sqrt(rate * (1 - rate) / of + spread / of / 4)
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return Interval(max(0.0, float(low)) if part else 0.0, min(1.0, float(high)) if part < of else 1.0)


def counted(labels: Counts, scores: NDArray[np.float64]) -> tuple[Counts, Counts]:
    """How many photographs and synthetic images have each distinct score, ascending."""
    distinct, place = np.unique(scores, return_inverse=True)
    if len(distinct) > DISTINCT:
        edges = np.quantile(scores, np.linspace(0, 1, DISTINCT + 1)[1:-1])
        place = np.searchsorted(edges, scores, "right")
    size = int(place.max()) + 1 if len(place) else 0
    photographs, synthetic = (np.bincount(place[labels == label], minlength=size) for label in (0, 1))
    return photographs, synthetic


def auc_of(photographs: Counts, synthetic: Counts) -> NDArray[np.float64]:
    """(..., k) counts by ascending score -> (...) areas under the ROC curve, equal scores as half."""
    below = photographs.cumsum(-1) - photographs / 2
    area: NDArray[np.float64] = (synthetic * below).sum(-1) / (photographs.sum(-1) * synthetic.sum(-1))
    return area


def average_precision_of(photographs: Counts, synthetic: Counts) -> NDArray[np.float64]:
    """(..., k) counts by ascending score -> (...) average precisions."""
    caught = synthetic[..., ::-1].cumsum(-1)
    taken = caught + photographs[..., ::-1].cumsum(-1)
    precision = caught / np.maximum(taken, 1)
    average: NDArray[np.float64] = (synthetic[..., ::-1] * precision).sum(-1) / caught[..., -1]
    return average


def _redrawn(counts: Counts, times: int, rng: np.random.Generator) -> Counts:
    """(times, k) counts of as many images, drawn with replacement."""
    there = counts.nonzero()[0]
    drawn = np.zeros((times, len(counts)), np.int64)
    drawn[:, there] = rng.multinomial(counts.sum(), counts[there] / counts.sum(), times)
    return drawn
