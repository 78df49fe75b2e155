"""The mean over generators or sources, and beside it the worst of them, by name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assay.trainers.evaluate.metrics import ALL, Row

LEAST = 10
"""Groups with fewer images are left out, unless there are no others: one image is not a share."""


@dataclass(frozen=True, slots=True)
class Spread:
    """mean and worst of a figure over `groups` groups; `name` is the worst. NaN where there is no group."""

    mean: float
    worst: float
    name: str
    groups: int


def spread(rows: Sequence[Row], figure: str, worst: Callable[..., Row] = min) -> Spread:
    """Of `figure` over rows of a generator or a source each; `worst` is `min` or `max`."""
    found = [row for row in _one_each(rows) if not math.isnan(getattr(row, figure))]
    large = [row for row in found if (row.synthetic or row.photographs) >= LEAST]
    found = large or found
    if not found:
        return Spread(math.nan, math.nan, "", 0)
    values = [getattr(row, figure) for row in found]
    least = worst(found, key=lambda row: getattr(row, figure))
    return Spread(sum(values) / len(values), getattr(least, figure), least.name, len(found))


def _one_each(rows: Sequence[Row]) -> list[Row]:
    """A row a name: that of all pools together where there is one."""
    chosen: dict[str, Row] = {}
    for row in rows:
        if row.pool == ALL or row.name not in chosen:
            chosen[row.name] = row
    return list(chosen.values())
