"""What there is to draw: an image, its detection, what went through the graphs, and arrays as pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.engine.bundle import Manifest
from assay.engine.detectors import Detection
from assay.engine.report.picture import Picture, picture, turned

Floats = NDArray[np.float32]
PHOTO = 760
"""Longest side of the photograph on the page, in pixels."""


@dataclass(frozen=True)
class Call:
    """What a graph was given and what it answered, in the manifest's order."""

    inputs: tuple[Floats, ...]
    outputs: tuple[Floats, ...]

    def followed_by(self, later: Self) -> Self:
        """Both as if they had been one: the graph was asked again, of further views."""
        inputs, outputs = (
            tuple(np.concatenate(pair) for pair in zip(one, two, strict=True))
            for one, two in ((self.inputs, later.inputs), (self.outputs, later.outputs))
        )
        return type(self)(inputs, outputs)


@dataclass(frozen=True)
class Trace:
    """One image and all that its verdict came from.

    pixels: (H, W, 3) uint8 RGB as stored; orientation: EXIF's; calls: by the names that the detector uses.
    """

    pixels: NDArray[np.uint8]
    orientation: int
    manifest: Manifest
    detection: Detection
    calls: Mapping[str, Call]

    def photo(self, side: int = PHOTO) -> Picture:
        """The photograph, turned for showing."""
        return picture(self.pixels, self.orientation, side)

    def views(self, views: Floats) -> list[Image.Image]:
        """Views (N, 3, S, S) as the network got them -> pictures, normalisation undone and turned."""
        rule = self.manifest.view
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (rule.mean, rule.std))
        values = (views * std + mean)[:, :: -1 if rule.channels == "bgr" else 1]
        levels = _levels(values).transpose(0, 2, 3, 1)
        return [turned(Image.fromarray(one), self.orientation) for one in levels]


def stretched(planes: Floats, low: float = 1.0, high: float = 99.0) -> Image.Image:
    """(3, H, W) or (H, W) of any scale -> a picture from black at the `low` percentile to white at `high`."""
    dark, bright = np.percentile(planes, (low, high))
    values = (planes - dark) / max(bright - dark, 1e-12)
    return Image.fromarray(_levels(values.transpose(1, 2, 0) if values.ndim == 3 else values))


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """Each pixel a square of as many as fit, the longer side at most `side`; a larger image shrinks to it."""
    times = side // max(image.size)
    if times > 1:
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    if times == 1:
        return image
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def _levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return levels
