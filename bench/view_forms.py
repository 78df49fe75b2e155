"""Ways to scale a view on one CPU thread, held against each other: why banded blocks are multiplied.

    OMP_NUM_THREADS=1 python -m assay.bench.view_forms      prints a table in Markdown

Each form filters rows, then columns, of the same pixels with the same weights and normalises them. numba is
measured where it is installed; it is no dependency of Assay.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
from PIL import Image

from assay.bench.kernels_view import MEAN, SIDE, STD, VIEWS, best_ms, photograph, pillow_views
from assay.bench.provenance import provenance
from assay.kernels import ViewRule, view
from assay.kernels.axis import Axis, scaling
from assay.kernels.resample import Affine, normalisation

Form = Callable[[Any, Axis, Axis, Affine], Any]


def matrix(axis: Axis) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The whole filter, (outputs, inputs read), zeros included."""
    whole = np.zeros((axis.length, axis.last - axis.first), np.float32)
    for start, stop, first, last, weights in axis.blocks:
        whole[start:stop, first:last] = weights
    return whole


def dense(rows: Any, columns: Any, pixels: Any, affine: Affine) -> Any:
    """Two whole matrix products."""
    filtered = rows @ pixels.astype(np.float32).reshape(len(pixels), -1)
    planes = filtered.reshape(SIDE, -1, 3).transpose(2, 0, 1) @ columns.T
    return planes * affine.scale[:, None, None] + affine.bias[:, None, None]


def sparse(rows: Any, columns: Any, pixels: Any, affine: Affine) -> Any:
    """Two products of a compressed sparse row matrix with a wide dense one."""
    filtered = rows @ pixels.astype(np.float32).reshape(len(pixels), -1)
    turned = columns @ np.ascontiguousarray(filtered.reshape(SIDE, -1, 3).transpose(1, 2, 0)).reshape(
        -1, 3 * SIDE
    )
    planes = turned.reshape(SIDE, 3, SIDE).transpose(1, 2, 0) * affine.scale[:, None, None]
    return planes + affine.bias[:, None, None]


def numba_form() -> tuple[Callable[..., Any], float]:
    """A compiled loop over output pixels, and the seconds until it can run."""
    start = time.perf_counter()
    import numba  # type: ignore[import-not-found]  # optional, and untyped

    def scale(pixels: Any, row: Any, down: Any, column: Any, across: Any, s: Any, b: Any) -> Any:
        side = len(row)
        out = np.empty((3, side, side), np.float32)
        width = pixels.shape[1] * 3
        line = np.empty(width, np.float32)
        for y in range(side):
            line[:] = 0
            for k in range(down.shape[1]):
                source, weight = pixels[row[y] + k].reshape(width), down[y, k]
                for i in range(width):
                    line[i] += weight * source[i]
            for x in range(side):
                for c in range(3):
                    value = np.float32(0)
                    for k in range(across.shape[1]):
                        value += across[x, k] * line[3 * (column[x] + k) + c]
                    out[c, y, x] = value * s[c] + b[c]
        return out

    weights, index = "float32[:,::1]", "int64[::1]"
    signature = f"(uint8[:,:,::1],{index},{weights},{index},{weights},float32[::1],float32[::1])"
    compiled: Any = numba.njit(signature, fastmath=True)(scale)
    return compiled, time.perf_counter() - start


def taps(whole: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[Any, Any]:
    """First input pixel (outputs,) and weights (outputs, taps) of a banded matrix."""
    first = (whole != 0).argmax(axis=1)
    count = int((whole.shape[1] - (whole[:, ::-1] != 0).argmax(axis=1) - first).max())
    first = np.minimum(first, whole.shape[1] - count)
    return first, np.take_along_axis(whole, first[:, None] + np.arange(count), axis=1)


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: a worker has one thread, and so have all sides here")
    compiled, ready = numba_form() if importlib.util.find_spec("numba") else (None, 0.0)
    print("# Forms of view\n")
    print(provenance("numpy", "scipy", "pillow", "numba"), end="\n\n")
    print("| ms an image | Pillow | dense | sparse | blocks (`view`) | numba |\n|---|---|---|---|---|---|")
    for name, size, resize, crop in VIEWS:
        if resize == "none":
            continue
        rule = ViewRule(resize=resize, size=SIDE, crop=crop, mean=MEAN, std=STD)
        pixels = photograph(size)
        (height, width), (new_height, new_width) = size, rule.scaled(*size)
        top, left = (new_height - SIDE) // 2, (new_width - SIDE) // 2
        rows = scaling(height, new_height, top, top + SIDE, True, "rows")
        columns = scaling(width, new_width, left, left + SIDE, True, "columns")
        cut = np.ascontiguousarray(pixels[rows.first : rows.last, columns.first : columns.last])
        down, across = matrix(rows), matrix(columns)
        affine = normalisation(MEAN, STD, 255)
        expected = view([pixels], rule)[0]
        works: list[Callable[[], Any]] = [
            partial(dense, down, across, cut, affine),
            partial(sparse, scipy.sparse.csr_array(down), scipy.sparse.csr_array(across), cut, affine),
        ]
        if compiled:
            works.append(partial(compiled, cut, *taps(down), *taps(across), *affine))
        for work in works:
            np.testing.assert_allclose(work(), expected, rtol=1e-4, atol=1e-4)
        reference: list[Callable[[], Any]] = [
            partial(pillow_views, Image.fromarray(pixels), rule),
            partial(view, [pixels], rule),
        ]
        pillow, ours, *others = (best for best, _ in best_ms([*reference, *works]))
        figures = [pillow, *others[:2], ours, *others[2:]]
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")
    if compiled:
        print(f"\nnumba was imported and had compiled after {ready:.1f} s.")


if __name__ == "__main__":
    main()
