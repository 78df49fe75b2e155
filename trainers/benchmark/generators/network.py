"""What every generator network looks like from outside, and how it is run on images of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""An image: uint8 RGB, height x width x 3."""

Planes = NDArray[np.float32]
"""An image as networks see it: float32 RGB, height x width x 3, nominally 0..1."""

Network = Callable[[Planes], Planes]
"""Maps (h, w, 3) to (h * scale, w * scale, 3); h and w are multiples of 4."""

_TILE = 128
_MARGIN = 16
_MULTIPLE = 4


def reconstruct(network: Network, image: Pixels, scale: int, filter: Image.Resampling, tiled: bool) -> Pixels:
    """`image`, reduced `scale` times with `filter` and brought back to its size by `network`.

    The image is continued by reflection to a size that the network takes, and cut back. `tiled` networks see
    reduced tiles of 128 pixels with margins of 16, so that memory does not grow with the image; a network
    whose statistics are global must not be tiled.
    """
    height, width = image.shape[:2]
    step = scale * _MULTIPLE
    padded = np.pad(image, ((0, -height % step), (0, -width % step), (0, 0)), mode="symmetric")
    if scale > 1:
        size = (padded.shape[1] // scale, padded.shape[0] // scale)
        padded = np.asarray(Image.fromarray(padded).resize(size, filter))
    planes = padded.astype(np.float32) / 255.0
    output = _tiles(network, planes, scale) if tiled else network(planes)
    return to_pixels(output[:height, :width])


def to_pixels(planes: Planes) -> Pixels:
    """`planes` (0..1) as 8-bit pixels, clipped and rounded."""
    return (planes.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _tiles(network: Network, planes: Planes, scale: int) -> Planes:
    height, width = planes.shape[:2]
    if max(height, width) <= _TILE + 2 * _MARGIN:
        return network(planes)
    output = np.empty((height * scale, width * scale, 3), np.float32)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            bottom, right = min(top + _TILE, height), min(left + _TILE, width)
            y, x = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
            tile = network(planes[y : min(bottom + _MARGIN, height), x : min(right + _MARGIN, width)])
            output[top * scale : bottom * scale, left * scale : right * scale] = tile[
                (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
            ]
    return output
