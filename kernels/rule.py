"""What is cut from an image for a network: a bundle's manifest states it, trainers and engines follow it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Resize = Literal["short_side", "exact", "none"]
Small = Literal["enlarge", "wrap"]
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True, kw_only=True)
class ViewRule:
    """How an image of any size becomes C crops of `size` x `size` pixels.

    resize: `short_side` scales the short side to `size` and keeps the aspect (the long side is rounded down,
        as torchvision's Resize does), `exact` scales both sides to `size`, `none` keeps the pixels.
    size: the side S of a view in pixels.
    crop: `centre`, or C pairs of (y, x) fractions in 0..1 of the free space, the pixels by which an image is
        larger than S: (0, 0) is the top left, (1, 1) the bottom right. An offset is floor(fraction * free);
        `centre` is (0.5, 0.5).
    filter: `bilinear`, a triangle as wide as Pillow's.
    antialias: widen the triangle by the scale where an image is made smaller; without, two taps an axis.
    small: with `none`, what happens to an image with a side below S: `enlarge` scales its short side to S,
        `wrap` repeats it to the right and down until its short side is S, each side ceil(side * S / short).
    channels: the order in which a view's channels stand; the source is RGB.
    mean, std: a view is (pixel / 255 - mean) / std, both in the order of `channels`.

    Lists become tuples, so a manifest's JSON object can be passed as keywords. Raises ValueError naming the
    field.
    """

    resize: Resize
    size: int
    crop: Literal["centre"] | tuple[tuple[float, float], ...]
    filter: Literal["bilinear"] = "bilinear"
    antialias: bool = True
    small: Small = "enlarge"
    channels: Channels = "rgb"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 -- read by pydantic where a manifest holds a rule

    def __post_init__(self) -> None:
        for field, choices in (("resize", Resize), ("small", Small), ("channels", Channels)):
            _choice(field, getattr(self, field), get_args(choices))
        _choice("filter", self.filter, ("bilinear",))
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a whole number of pixels from 1, not {self.size!r}")
        if not isinstance(self.antialias, bool):
            raise ValueError(f"antialias must be true or false, not {self.antialias!r}")
        if self.crop != "centre":
            object.__setattr__(self, "crop", _fractions(self.crop))
        object.__setattr__(self, "mean", _three("mean", self.mean))
        object.__setattr__(self, "std", _three("std", self.std))
        if min(self.std) <= 0:
            raise ValueError(f"std must be three numbers above 0, not {self.std!r}")

    @property
    def crops(self) -> int:
        """C, the number of views an image gives."""
        return len(self.fractions)

    @property
    def fractions(self) -> tuple[tuple[float, float], ...]:
        """The (y, x) fractions of the free space at which the C views lie."""
        return ((0.5, 0.5),) if self.crop == "centre" else self.crop

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image of that height and width after resizing and before wrapping."""
        short = min(height, width)
        if self.resize == "exact":
            return self.size, self.size
        if self.resize == "short_side" or (short < self.size and self.small == "enlarge"):
            return self.size * height // short, self.size * width // short
        return height, width

    def room(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that views are cut from, resizing and wrapping done; both are at least `size`.

        Random crops for training draw an offset from 0 to room - size, both included.
        """
        height, width = self.scaled(height, width)
        short = min(height, width)
        if short < self.size:
            return -(-height * self.size // short), -(-width * self.size // short)
        return height, width


def _choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be {' or '.join(map(repr, choices))}, not {value!r}")


def _fractions(value: Any) -> tuple[tuple[float, float], ...]:
    try:
        pairs = tuple((float(y), float(x)) for y, x in value)
    except (TypeError, ValueError):
        pairs = ()
    if isinstance(value, str) or not pairs or not all(0 <= part <= 1 for pair in pairs for part in pair):
        raise ValueError(f"crop must be 'centre' or a list of [y, x] fractions in 0..1, not {value!r}")
    return pairs


def _three(field: str, value: Iterable[float]) -> tuple[float, float, float]:
    try:
        first, second, third = (float(number) for number in value)
    except (TypeError, ValueError):
        first = second = third = math.nan
    if isinstance(value, str) or not all(map(math.isfinite, (first, second, third))):
        raise ValueError(f"{field} must be three finite numbers, not {value!r}")
    return first, second, third
