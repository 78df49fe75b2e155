"""The weights of a separable linear filter along one axis, in the form that a CPU multiplies fastest.

A filter matrix is banded: an output pixel reads a few neighbouring input pixels. Cut into blocks of output
pixels it becomes a row of small dense matrices, each of them one call to BLAS. Large blocks multiply zeros,
small blocks cost calls. Best measured: rows, where an image's whole width is multiplied, with about as many
outputs as advance 16 input pixels; columns with 16 outputs, a whole vector of the processor.
"""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating[Any]]
Direction = Literal["rows", "columns"]


class Block(NamedTuple):
    """Output pixels start..stop are `weights` @ input pixels first..last (both ends excluding the last)."""

    start: int
    stop: int
    first: int
    last: int
    weights: npt.NDArray[np.float32]  # (stop - start, last - first)


class Axis(NamedTuple):
    """A filter from the input pixels first..last of an axis to `length` output pixels.

    The blocks count input pixels from `first`: cut the image there, then filter.
    """

    length: int
    first: int
    last: int
    blocks: tuple[Block, ...]


@lru_cache(maxsize=512)
def scaling(source: int, target: int, start: int, stop: int, antialias: bool, along: Direction) -> Axis:
    """Output pixels start..stop of `source` pixels scaled to `target`: Pillow's bilinear taps, unrounded.

    Pixel centres lie at i + 0.5. With `antialias` the triangle widens with the scale where that is above 1.
    """
    scale = source / target
    centre = (np.arange(start, stop) + 0.5) * scale
    return _axis(source, centre, max(scale, 1.0) if antialias else 1.0, along)


@lru_cache(maxsize=512)
def aligned(source: int, target: int, along: Direction) -> Axis:
    """`source` pixels stretched to `target` so that the first and last centres coincide (align_corners)."""
    centre = np.arange(target) * ((source - 1) / max(target - 1, 1)) + 0.5
    return _axis(source, centre, 1.0, along)


def _axis(source: int, centre: Float, support: float, along: Direction) -> Axis:
    """Triangles of half-width `support` around `centre`, cut at the border and normalised to sum 1."""
    low = np.maximum(np.floor(centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum(np.floor(centre + support + 0.5).astype(np.int64), source)
    read = low[:, None] + np.arange((high - low).max())
    weights = np.maximum(1 - np.abs(read + 0.5 - centre[:, None]) / support, 0) * (read < high[:, None])
    weights /= weights.sum(axis=1, keepdims=True)

    first = int(low[0])
    advance = (int(high[-1]) - first) / len(centre)
    step = 16 if along == "columns" else min(max(round(16 / advance), 2), 16)
    blocks = []
    for start in range(0, len(centre), step):
        stop = min(start + step, len(centre))
        left, right = int(low[start]), int(high[stop - 1])
        dense = np.zeros((stop - start, right - left + weights.shape[1]), np.float32)
        np.put_along_axis(dense, read[start:stop] - left, weights[start:stop].astype(np.float32), axis=1)
        dense = np.ascontiguousarray(dense[:, : right - left])
        dense.flags.writeable = False
        blocks.append(Block(start, stop, left - first, right - first, dense))
    return Axis(len(centre), first, int(high[-1]), tuple(blocks))
