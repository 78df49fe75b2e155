"""Axes of a plot: where a value lies between 0 and 1, and which values are marked."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

FACTORS = (1.0, 2.0, 5.0)
TICKS = 7
"""About as many fit an axis."""


@dataclass(frozen=True)
class Axis:
    """`place` takes a value to 0..1; `ticks` are values with their words."""

    title: str
    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def linear(title: str, values: Iterable[float]) -> Axis:
    """From 0 to a round number above all `values`."""
    most = max(values, default=0.0) or 1.0
    step = _round_step(most / (TICKS - 1))
    top = step * math.ceil(most / step - 1e-9)
    count = round(top / step)
    return Axis(title, lambda value: value / top, [(step * n, f"{step * n:g}") for n in range(count + 1)])


def logarithmic(title: str, values: Iterable[float]) -> Axis:
    """From below the least of positive `values` to above the largest, over a factor of 4 at least."""
    positive = [value for value in values if value > 0] or [1.0]
    marks = [factor * 10.0**power for power in range(-6, 7) for factor in FACTORS]
    least, most = min(positive), max(positive)
    low = max((mark for mark in marks if mark <= least), default=marks[0])
    high = min((mark for mark in marks if mark >= max(most, 4 * low)), default=marks[-1])
    shown = [mark for mark in marks if low <= mark <= high]
    if len(shown) > TICKS + 2:
        shown = [mark for mark in shown if math.log10(mark).is_integer() or mark in (low, high)]
    span = math.log(high / low)
    return Axis(
        title,
        lambda value: math.log(max(value, low) / low) / span,
        [(mark, f"{mark:g}") for mark in shown],
    )


def nines(title: str, most: float) -> Axis:
    """For shares up to `most`, below 1: 90, 99 and 99.9 % are equally far from each other."""
    span = max(1.0, -math.log10(1 - most))
    shares = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
    return Axis(
        title,
        lambda share: -math.log10(1 - min(share, most)) / span,
        [(share, f"{100 * share:g}%") for share in shares if -math.log10(1 - share) <= span + 1e-9],
    )


def _round_step(step: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (*FACTORS, 10.0) if factor * power >= step * (1 - 1e-9))
