"""Views of a photograph: the crops and reductions that synthetic images are made of and stand beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from assay.trainers.benchmark.generators.network import Pixels
from assay.trainers.benchmark.publish import FILTERS
from assay.trainers.data.manifest import View as Kind

_BLOCK = 16
"""Crops begin on this grid of the stored photograph: the largest JPEG coding block."""

_LARGEST_AREA = 1_600_000
"""Largest number of pixels of a whole view."""

LARGE = (426, 720)
"""Shorter sides of large views: an image of 640x426 pixels and up."""


@dataclass(frozen=True)
class View:
    """A rectangle of the stored photograph, reduced to `width` x `height` pixels by `filter`."""

    kind: Kind
    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int
    filter: Image.Resampling

    @property
    def scale(self) -> float:
        """How many stored pixels make one of the view, along a side."""
        return (self.right - self.left) / self.width

    @property
    def reduced(self) -> bool:
        return (self.right - self.left, self.bottom - self.top) != (self.width, self.height)

    def cut(self, photo: Image.Image) -> Pixels:
        """The view of an RGB photograph."""
        crop = photo.crop((self.left, self.top, self.right, self.bottom))
        if self.reduced:
            crop = crop.resize((self.width, self.height), self.filter)
        return np.asarray(crop)


def crop(random: np.random.Generator, size: tuple[int, int]) -> View:
    """A random square crop of a photograph of `size` (width, height), mostly 256 pixels, of a random scale.

    A third is at stored size, a third reduced twice with a box (which removes the grid of the source's
    compression), a third reduced by 1.2 to 4.
    """
    sides = (64, 96, 128, 160, 192, 320, 384, 512)
    side = 256 if random.random() < 0.65 else int(sides[random.integers(len(sides))])
    kind = random.random()
    scale = 1.0 if kind < 0.35 else 2.0 if kind < 0.67 else float(random.uniform(1.2, 4.0))
    filter = Image.Resampling.BOX if scale == 2.0 else FILTERS[random.integers(len(FILTERS))]
    shorter = min(size)
    scale = max(1.0, min(scale, shorter / min(side, 128)))
    side = min(side, int(shorter / scale) // _BLOCK * _BLOCK)
    extent = min(round(side * scale), shorter)
    left, top = (int(random.integers((one - extent) // _BLOCK + 1)) * _BLOCK for one in size)
    return View("crop", left, top, left + extent, top + extent, side, side, filter)


def whole(random: np.random.Generator, size: tuple[int, int], stored: bool) -> View:
    """The whole photograph: `stored`, at its size if not too large; else with a shorter side of 224-768."""
    return _reduced(random, size, None if stored else int(random.integers(224, 769)))


def large(random: np.random.Generator, size: tuple[int, int]) -> View:
    """The whole photograph with a shorter side of `LARGE` pixels, or at its size where that is less."""
    return _reduced(random, size, int(random.integers(*LARGE, endpoint=True)))


def _reduced(random: np.random.Generator, size: tuple[int, int], shorter: int | None) -> View:
    """The whole photograph with that shorter side if it is given, and of a bearable area."""
    width, height = size
    factor = max(1.0, (width * height / _LARGEST_AREA) ** 0.5)
    if shorter is not None:
        factor = max(factor, min(size) / shorter)
    target = (max(1, round(width / factor)), max(1, round(height / factor)))
    return View("whole", 0, 0, width, height, *target, FILTERS[random.integers(len(FILTERS))])


def face(size: tuple[int, int], side: int) -> View:
    """The central square of a portrait, reduced to `side` pixels."""
    shorter = min(size)
    left, top = (size[0] - shorter) // 2, (size[1] - shorter) // 2
    return View("face", left, top, left + shorter, top + shorter, side, side, Image.Resampling.BOX)
