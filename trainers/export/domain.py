"""What a bundle knows, by the images that it is calibrated on: limits that all but a few of them keep."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from assay.engine.domain import LEAST, MOST, Domain
from assay.engine.outcome import Doubt
from assay.trainers.evaluate.score import Scored

Values = NDArray[np.float64]


def fit_domain(scored: Scored, share: float) -> Domain:
    """The tightest limits that doubt at most a `share` of the images each.

    Photographs and synthetic images weigh the same, within each class every source and generator, and within
    these every image; of a measure that only some images have, such as a JPEG's quality, these alone count. A
    limit is the value of an image, so the outermost ones are never beyond it. `scored` has measures.
    """
    limits: dict[str, float] = {}
    weights = _weights(scored)
    for name in LEAST | MOST:
        there = np.array([name in one for one in scored.measures], np.bool_)
        if there.any():
            values = np.array([one[name] for one in scored.measures if name in one], np.float64)
            sign = 1 if name in LEAST else -1
            limits[name] = sign * _quantile(sign * values, weights[there] / weights[there].sum(), share)
    whole = {name: int(limits[name]) for name in ("side", "quality") if name in limits}
    return Domain.model_validate(limits | whole)


def doubtful(scored: Scored, domain: Domain) -> Mapping[Doubt, float]:
    """The weighted share of images that each doubt falls on, of those that fall on any."""
    weights, found = _weights(scored), [domain.doubts(one) for one in scored.measures]
    shares = {
        doubt: float(sum(weight for weight, own in zip(weights, found, strict=True) if doubt in own))
        for doubt in Doubt
    }
    return {doubt: share for doubt, share in shares.items() if share}


def _weights(scored: Scored) -> Values:
    """(n,) weights that add up to 1."""
    names = [(sample.label, sample.group) for sample in scored.samples]
    groups = sorted(set(names))
    place = np.array([groups.index(name) for name in names])
    each = 1 / np.bincount(place)[place]
    in_class = np.bincount([label for label, _ in groups], minlength=2)[scored.labels]
    weights: Values = each / in_class / (each / in_class).sum()
    return weights


def _quantile(values: Values, weights: Values, share: float) -> float:
    """The largest of `values` that has at most a `share` of the weight strictly below it."""
    order = np.argsort(values, kind="stable")
    distinct, first = np.unique(values[order], return_index=True)
    below = np.concatenate([[0.0], weights[order].cumsum()])[first]
    return float(distinct[np.flatnonzero(below <= share + 1e-12)[-1]])
