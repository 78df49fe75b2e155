"""From pixels to normalised planes on the CPU: what views and crops share.

A pixel becomes scale * pixel + bias per channel: the division by 255, mean and std in one step. Only NumPy
and BLAS, within one thread; nothing is filtered or normalised but the pixels that a view or crop shows.
"""

import math
import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assay.kernels.arrays import Array
from assay.kernels.axis import Axis

Planes = npt.NDArray[np.float32]
KEPT = 4 << 20  # floats: the largest buffer a thread keeps, enough for photographs of 12 megapixels
_kept = threading.local()


class Affine(NamedTuple):
    """scale and bias, float32 (3,), of normalisation: (pixel / full - mean) / std."""

    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@lru_cache(maxsize=64)
def normalisation(mean: tuple[float, ...], std: tuple[float, ...], full: float) -> Affine:
    """The affine step of pixels whose white is `full`: 255 for uint8, 1 for floats."""
    centre, spread = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return Affine((1 / (full * spread)).astype(np.float32), (-centre / spread).astype(np.float32))


def convert(pixels: Array, affine: Affine, out: Planes) -> None:
    """Write normalised `pixels`, uint8 (h, w, 3) or float32 (3, h, w), to `out` (3, h, w) unfiltered."""
    if pixels.dtype == np.uint8:
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    for plane, values, scale, bias in zip(out, pixels, *affine, strict=True):
        np.multiply(values, scale, out=plane)
        np.add(plane, bias, out=plane)


def resample(pixels: Array, rows: Axis, columns: Axis, affine: Affine, out: Planes) -> None:
    """Write `pixels`, filtered along both axes and normalised, to `out` (3, rows.length, columns.length).

    `pixels`, uint8 (H, W, 3) or float32 (3, H, W), is the whole image; only what the axes read is touched.
    """
    where = (slice(rows.first, rows.last), slice(columns.first, columns.last))
    if pixels.dtype == np.uint8:
        between = _filter_rows_interleaved(pixels[where], rows)
    else:
        between = _filter_rows(pixels[:, where[0], where[1]], rows)
    scaled = np.multiply(between, affine.scale[:, None, None], out=_buffer("scaled", between.shape))
    flat_in, flat_out = scaled.reshape(-1, scaled.shape[2]), out.reshape(-1, columns.length)
    for start, stop, first, last, weights in columns.blocks:
        np.matmul(flat_in[:, first:last], weights.T, out=flat_out[:, start:stop])
    for plane, bias in zip(out, affine.bias, strict=True):
        np.add(plane, bias, out=plane)


def _filter_rows(cut: Array, rows: Axis) -> Planes:
    """float32 (3, h, w) -> (3, rows.length, w)."""
    filtered = _buffer("filtered", (3, rows.length, cut.shape[2]))
    for start, stop, first, last, weights in rows.blocks:
        np.matmul(weights, cut[:, first:last], out=filtered[:, start:stop])
    return filtered


def _filter_rows_interleaved(cut: Array, rows: Axis) -> Planes:
    """uint8 (h, w, 3) -> (3, rows.length, w), a view of an array of channels side by side.

    So a block of rows is one wide matrix; each is made float in a buffer that stays in the cache.
    """
    width = cut.shape[1]
    filtered = _buffer("filtered", (rows.length, width * 3))
    values = _buffer("values", (max(block.last - block.first for block in rows.blocks), width, 3))
    for start, stop, first, last, weights in rows.blocks:
        np.copyto(values[: last - first], cut[first:last])
        np.matmul(weights, values[: last - first].reshape(-1, width * 3), out=filtered[start:stop])
    return filtered.reshape(rows.length, width, 3).transpose(2, 0, 1)


def _buffer(name: str, shape: tuple[int, ...]) -> Planes:
    """An array to work in, not yet written; one of each name a thread, used again by the next call.

    The pages of a new array cost about as much as the whole filter.
    """
    length = math.prod(shape)
    held: Planes | None = getattr(_kept, name, None)
    if held is None or held.size < length:
        held = np.empty(length, np.float32)
        if length <= KEPT:
            setattr(_kept, name, held)
    return held[:length].reshape(shape)
