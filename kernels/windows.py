"""Where a network looks: windows of an activation map, the strongest of them, and their boxes in the image.

The patch selection of "Fusing Global and Local Features for Generalized AI-Synthesized Image Detection"
(equation 1), with the rules of its published code where the paper says less. All arithmetic that an index
depends on is float32 in one fixed order, so that every form picks the same windows and boxes.
"""

from typing import Any

import numpy as np

from assay.kernels.arrays import Array, cupy, expect, on_gpu, refuse_nan
from assay.kernels.launch import launch


def window_scores(activation: Array, window: int) -> Array:
    """Mean activation of every k x k window, sliding by one: (B, H, W) -> (B, H-k+1, W-k+1) float32.

    activation: (B, H, W) float32, summed over channels; window: k in cells, at most min(H, W). Equation 1.
    """
    gpu = on_gpu(activation=activation)
    expect("activation", activation, "B H W", np.float32)
    refuse_nan("activation", activation)
    batch, height, width = activation.shape
    if not 1 <= window <= min(height, width):
        raise ValueError(f"window must lie in 1..{min(height, width)}, the map's shorter side, not {window}")
    rows, columns = height - window + 1, width - window + 1
    if gpu:
        out: Array = cupy().empty((batch, rows, columns), np.float32)
        sizes = map(np.int32, (batch, height, width, window))
        launch("windows", "window_scores", out.size, cupy().ascontiguousarray(activation), *sizes, out)
        return out
    total = np.zeros((batch, rows, columns), np.float32)
    for y in range(window):
        for x in range(window):
            total += activation[:, y : y + rows, x : x + columns]
    total /= np.float32(window * window)
    return total


def select_windows(scores: Array, count: int) -> Array:
    """Pick the best windows one after another, erasing each one's surroundings: -> (B, count, 2) int32.

    scores: (B, H, W) float32, at least 0 as they are after a ReLU. Returned are (row, column).

    The maximum is taken, of equals the first in row-major order; then every cell whose 3x3 neighbourhood has
    just that maximum becomes 0, elsewhere in the map too. A flat map therefore gives (0, 0) every time.
    """
    gpu = on_gpu(scores=scores)
    expect("scores", scores, "B H W", np.float32)
    refuse_nan("scores", scores)
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    batch, height, width = scores.shape
    if gpu:
        out: Array = cupy().empty((batch, count, 2), np.int32)
        left = cupy().array(scores)  # what is not yet erased
        launch("windows", "select_windows", batch, left, *map(np.int32, (batch, height, width, count)), out)
        return out
    picks = np.empty((batch, count), np.int32)
    left = scores.copy()
    for turn in range(count):
        picks[:, turn] = left.reshape(batch, -1).argmax(axis=1)
        best = left.max(axis=(1, 2), keepdims=True)
        # The maximum of a neighbourhood is the global one exactly where a neighbour has that value.
        equal = np.zeros((batch, height + 2, width + 2), bool)
        equal[:, 1:-1, 1:-1] = left == best
        near = equal[:, :-2] | equal[:, 1:-1] | equal[:, 2:]
        left[near[:, :, :-2] | near[:, :, 1:-1] | near[:, :, 2:]] = 0
    return np.stack(np.divmod(picks, np.int32(width)), axis=-1)


def patch_boxes(windows: Array, window: int, map_size: int, image_sizes: Array, patch: int) -> Array:
    """Boxes of `patch` pixels in the original images around the picked windows: -> (B, count, 4) int32.

    windows: (B, count, 2) int32 (row, column) on the score map; window: k, its side in cells; map_size: the
    activation map's side in cells; image_sizes: (B, 2) int32 (height, width). Boxes are top, left, bottom,
    right, the last two excluded.

    The map shows the square of the short side in the middle of the image. A box that leaves the image is
    moved inside; of an image smaller than the patch it is the whole side. The centre is truncated in float32.
    """
    gpu = on_gpu(windows=windows, image_sizes=image_sizes)
    expect("windows", windows, "B N 2", np.int32)
    expect("image_sizes", image_sizes, f"{windows.shape[0]} 2", np.int32)
    if not 1 <= window <= map_size:
        raise ValueError(f"window must lie in 1..{map_size}, the map's side, not {window}")
    if patch < 1:
        raise ValueError(f"patch must be at least 1 pixel, not {patch}")
    if gpu:
        batch, count, _ = windows.shape
        out: Array = cupy().empty((batch, count, 4), np.int32)
        arrays: tuple[Any, Any] = cupy().ascontiguousarray(windows), cupy().ascontiguousarray(image_sizes)
        sizes = map(np.int32, (batch, count, window, map_size, patch))
        launch("windows", "patch_boxes", batch * count * 2, *arrays, *sizes, out)
        return out
    if image_sizes.min() < 1:
        raise ValueError("image_sizes must be at least 1 pixel")
    if windows.min() < 0 or windows.max() > map_size - window:
        raise ValueError(f"windows must lie in 0..{map_size - window}, the score map")
    side = image_sizes[:, None, :]
    short = side.min(axis=2, keepdims=True)
    fraction = (2 * windows + window).astype(np.float32) / np.float32(2 * map_size)
    inside = (side - short) // 2
    centre = (inside.astype(np.float32) + short.astype(np.float32) * fraction).astype(np.int32)
    start = centre - patch // 2
    start -= np.minimum(start, 0)
    start = np.maximum(start - np.maximum(start + patch - side, 0), 0)
    return np.concatenate([start, np.minimum(start + patch, side)], axis=2)
