"""Views: the pixels a network sees of an image, cut and scaled as a rule says."""

from typing import Any

import numpy as np
import numpy.typing as npt

from assay.kernels.arrays import Array, cupy, expect
from assay.kernels.axis import scaling
from assay.kernels.images import FlatImages, Images, as_list, as_table, images_on_gpu
from assay.kernels.launch import launch
from assay.kernels.resample import Affine, Planes, convert, normalisation, resample
from assay.kernels.rule import ViewRule

RESIZE = {"none": 0, "short_side": 1, "exact": 2}  # as view.cu numbers them


def view(images: Images, rule: ViewRule, offsets: Array | None = None) -> Array:
    """Cut views out of B images of any sizes: -> (B*C, 3, S, S) float32, the views of an image side by side.

    images: uint8 RGB (H, W, 3) arrays, or a `FlatImages` of them.
    offsets: (B, C, 2) int32, the top left (y, x) of each view in the resized (and wrapped) image, in place of
        the rule's crops and with any C: random crops for training. Each lies in 0..`rule.room(H, W)` - S.

    Taps and weights are those of Pillow's bilinear resize, without its rounding to 8 bits between and after
    the two passes. One launch on a GPU, where offsets are clamped instead of checked. Raises ValueError
    naming the argument.
    """
    gpu = images_on_gpu(images, **({} if offsets is None else {"offsets": offsets}))
    count = len(images.offsets if isinstance(images, FlatImages) else images)
    if offsets is not None:
        expect("offsets", offsets, f"{count} C 2", np.int32)
    return _view_gpu(images, rule, offsets) if gpu else _view_cpu(images, rule, offsets)


def _view_cpu(images: Images, rule: ViewRule, offsets: Array | None) -> Array:
    arrays = as_list(images, np.uint8)
    affine = normalisation(rule.mean, rule.std, 255)
    crops = rule.crops if offsets is None else offsets.shape[1]
    out = np.empty((len(arrays), crops, 3, rule.size, rule.size), np.float32)
    for index, (pixels, views) in enumerate(zip(arrays, out, strict=True)):
        corners = _corners(rule, pixels, None if offsets is None else offsets[index], index)
        _cut(pixels if rule.channels == "rgb" else pixels[:, :, ::-1], rule, corners, affine, views)
    return out.reshape(-1, 3, rule.size, rule.size)


def _corners(rule: ViewRule, pixels: Array, offsets: Array | None, index: int) -> list[tuple[int, int]]:
    """The (y, x) of each view's top left in the resized and wrapped image."""
    height, width = rule.room(*pixels.shape[:2])
    free_y, free_x = height - rule.size, width - rule.size
    if offsets is None:
        return [(int(y * free_y), int(x * free_x)) for y, x in rule.fractions]
    if offsets.min() < 0 or offsets[:, 0].max() > free_y or offsets[:, 1].max() > free_x:
        raise ValueError(
            f"offsets[{index}] must lie in (0, 0)..({free_y}, {free_x}),"
            f" the free space of a view of {rule.size} in {height} x {width}, not {offsets.tolist()}"
        )
    return [(int(y), int(x)) for y, x in offsets]


def _cut(
    pixels: Array, rule: ViewRule, corners: list[tuple[int, int]], affine: Affine, views: Planes
) -> None:
    """Write the views of one image at `corners` to `views` (C, 3, S, S)."""
    side = rule.size
    if rule.scaled(*pixels.shape[:2]) == pixels.shape[:2]:
        for (top, left), out in zip(corners, views, strict=True):
            convert(_window(pixels, top, left, side), affine, out)
        return
    # Overlapping views share their filtered pixels where one box around all of them is the smaller work.
    top, left = (min(corner[axis] for corner in corners) for axis in (0, 1))
    bottom, right = (max(corner[axis] for corner in corners) + side for axis in (0, 1))
    if (bottom - top) * (right - left) < len(corners) * side * side:
        around = np.empty((3, bottom - top, right - left), np.float32)
        _scale(pixels, rule, (top, left), affine, around)
        for (y, x), out in zip(corners, views, strict=True):
            out[...] = around[:, y - top : y - top + side, x - left : x - left + side]
        return
    for corner, out in zip(corners, views, strict=True):
        _scale(pixels, rule, corner, affine, out)


def _scale(pixels: Array, rule: ViewRule, corner: tuple[int, int], affine: Affine, out: Planes) -> None:
    """Write what the scaled image shows at `corner` to `out` (3, h, w)."""
    height, width = pixels.shape[:2]
    new_height, new_width = rule.scaled(height, width)
    (top, left), (shown_height, shown_width) = corner, out.shape[1:]
    rows = scaling(height, new_height, top, top + shown_height, rule.antialias, "rows")
    columns = scaling(width, new_width, left, left + shown_width, rule.antialias, "columns")
    resample(pixels, rows, columns, affine, out)


def _window(pixels: Array, top: int, left: int, side: int) -> npt.NDArray[np.uint8]:
    """side x side pixels; beyond the right and bottom edges the image begins again."""
    height, width = pixels.shape[:2]
    if top + side > height:
        pixels, top = pixels[np.arange(top, top + side) % height], 0
    if left + side > width:
        pixels, left = pixels[:, np.arange(left, left + side) % width], 0
    return pixels[top : top + side, left : left + side]


def _view_gpu(images: Images, rule: ViewRule, offsets: Array | None) -> Any:
    table = as_table(images, np.uint8)
    crops = rule.crops if offsets is None else offsets.shape[1]
    views = len(table.offsets) * crops
    out = cupy().empty((views, 3, rule.size, rule.size), np.float32)
    fractions = cupy().asarray(np.array(rule.fractions, np.float64))
    affine = normalisation(rule.mean, rule.std, 255)
    launch(
        "view",
        "view",
        views * rule.size * rule.size,
        *(table.base, table.offsets, table.shapes),
        *(fractions, None if offsets is None else cupy().ascontiguousarray(offsets)),
        *(np.int32(views), np.int32(crops), np.int32(rule.size)),
        *(np.int32(RESIZE[rule.resize]), np.int32(rule.small == "wrap")),
        *(np.int32(rule.antialias), np.int32(rule.channels == "bgr")),
        *(*affine.scale, *affine.bias, out),
    )
    return out
