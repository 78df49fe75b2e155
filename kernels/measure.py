"""Simple measures of an image, by which it is told whether a detector can know it: is there anything to see,
are pixels exactly alike, was it enlarged?

They are taken from at most 25 tiles of 64 x 64 stored pixels, spread evenly, so that they cost the same for
an image of any size, and from green alone where colour does not matter, for it is the finest of the three.
"""

from collections.abc import Sequence

import numpy as np

from assay.kernels.arrays import Array, cupy, expect
from assay.kernels.images import as_table, images_on_gpu, size
from assay.kernels.launch import launch

TILE, ACROSS, BLOCK = 64, 5, 8
LEAST_SIDE = 16
"""The shorter side that measures need, in pixels."""
MEASURE_BYTES = 4 << 20
"""What measuring an image holds beside its pixels, at most."""
EVEN = 1
"""Variance of a block's levels up to which it is even."""
NEAR, FAR = 1, 4
"""Distances in pixels over which changes are compared."""
SUMS = 10
"""Whole numbers that the kernel counts for an image."""
ROUNDING = 1 / 12
"""Variance that rounding to levels adds: what is even has the fineness 1, not 0 / 0."""


def measure(images: Sequence[Array]) -> Array:
    """Detail, repetition and fineness of each image.

    images: N of (H, W, 3) uint8, H and W from 16 -> (N, 3) float32. Detail is the share of blocks of 8 x 8
    pixels whose variance is above 1 level squared. Repetition is the share of pixels that equal the next ones
    to the right and below in all channels. Fineness is the mean square of second differences over that of
    first ones, a mean squared frequency, of neighbouring pixels, over the same of pixels 4 apart: 1 where an
    image looks alike at both scales, about 0.7 for photographs, less after each enlargement or blur.
    Raises ValueError for another shape or dtype.
    """
    return _measure_gpu(images) if images_on_gpu(images) else _measure_cpu(images)


def _measure_cpu(images: Sequence[Array]) -> Array:
    found = []
    for image in images:
        expect("images", image, "H W 3", np.uint8)
        _refuse_small(*image.shape[:2])
        tiles = _tiles(image)
        green = tiles[..., 1]
        found.append(np.stack([_detail(green), _repeated(tiles), _fineness(green[::2].astype(np.float32))]))
    return np.stack(found).astype(np.float32)


def _measure_gpu(images: Sequence[Array]) -> Array:
    """Two launches for the batch; sums are whole numbers and exact."""
    table = as_table(images, np.uint8)
    count = len(images)
    for height, width in map(size, images):
        _refuse_small(height, width)
    sums = cupy().zeros((count, SUMS), np.uint64)
    measures: Array = cupy().empty((count, 3), np.float32)
    blocks = ACROSS**2 * (TILE // BLOCK) ** 2
    where = (table.base, table.offsets, table.shapes)
    launch("measure", "measure_blocks", count * blocks, *where, np.int32(count), sums)
    launch("measure", "measure_finish", count, table.shapes, sums, np.int32(count), measures)
    return measures


def _refuse_small(height: int, width: int) -> None:
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"images must have sides of at least {LEAST_SIDE} pixels, not {(height, width)}")


def _tiles(image: Array) -> Array:
    """(H, W, 3) -> (T, P, P, 3): the centre of each cell of a grid."""
    height, width = image.shape[:2]
    side = min(TILE, min(height, width) // BLOCK * BLOCK)
    down, across = min(ACROSS, height // side), min(ACROSS, width // side)
    high, wide = height // down, width // across
    cells = image[: down * high, : across * wide].reshape(down, high, across, wide, 3)
    top, left = (high - side) // 2, (wide - side) // 2
    tiles = cells[:, top : top + side, :, left : left + side]
    return tiles.transpose(0, 2, 1, 3, 4).reshape(-1, side, side, 3)


def _detail(green: Array) -> Array:
    """Nearly exact: sums of 64 squares of levels are whole numbers that float32 holds."""
    count = green.shape[1] // BLOCK
    blocks = green.astype(np.float32).reshape(-1, count, BLOCK, count, BLOCK)
    sums, squares = (values.sum(axis=2).sum(axis=-1) for values in (blocks, blocks * blocks))
    pixels = BLOCK * BLOCK
    detail: Array = (pixels * squares - sums * sums > EVEN * pixels**2).mean()
    return detail


def _repeated(tiles: Array) -> Array:
    here, right, below = tiles[:, :-1, :-1], tiles[:, :-1, 1:], tiles[:, 1:, :-1]
    unlike = (here ^ right) | (here ^ below)
    repeated: Array = ((unlike[..., 0] | unlike[..., 1] | unlike[..., 2]) == 0).mean()
    return repeated


def _fineness(green: Array) -> Array:
    near, far = (_frequency(green, step) + _frequency(green.transpose(0, 2, 1), step) for step in (NEAR, FAR))
    fineness: Array = near / far
    return fineness


def _frequency(rows: Array, step: int) -> Array:
    """(T, P, P) -> the mean square of second differences over that of first ones, along the last axis."""
    first = rows[..., step:] - rows[..., :-step]
    second = first[..., step:] - first[..., :-step]
    slow, fast = (np.einsum("tij,tij->", change, change) / change.size for change in (first, second))
    frequency: Array = (fast + ROUNDING) / (slow + ROUNDING)
    return frequency
