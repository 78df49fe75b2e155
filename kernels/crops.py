"""Many boxes of many images, each stretched to one size, in one go."""

from collections.abc import Sequence

import numpy as np

from assay.kernels.arrays import Array, cupy, expect, refuse_nan
from assay.kernels.axis import aligned
from assay.kernels.images import FlatImages, Images, as_list, as_table, images_on_gpu
from assay.kernels.images import size as size_of
from assay.kernels.launch import launch
from assay.kernels.resample import convert, normalisation, resample

Triple = Sequence[float]


def crop_resize(
    images: Images,
    boxes: Array,
    size: int,
    mean: Triple = (0.0, 0.0, 0.0),
    std: Triple = (1.0, 1.0, 1.0),
) -> Array:
    """Cut P boxes out of each of B images and stretch them: -> (B*P, 3, size, size) float32, image by image.

    images: uint8 (H, W, 3), read as pixel / 255, or float32 (3, H, W), read as they are, of any sizes; a
        sequence of arrays or a `FlatImages`.
    boxes: (B, P, 4) int32, top, left, bottom, right in pixels, the last two excluded.
    mean, std: three numbers each; a value v becomes (v - mean) / std. Only what is cut out is normalised.

    Bilinear with the corners aligned and no antialiasing, as torch's `interpolate(align_corners=True)`; a box
    of size x size is copied. One launch on a GPU, where boxes are clamped instead of checked. Raises
    ValueError naming the argument.
    """
    gpu = images_on_gpu(images, boxes=boxes)
    count = len(images.offsets if isinstance(images, FlatImages) else images)
    expect("boxes", boxes, f"{count} P 4", np.int32)
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    for name, triple in (("mean", mean), ("std", std)):
        if len(triple) != 3 or not np.isfinite(triple).all() or (name == "std" and min(triple) <= 0):
            raise ValueError(f"{name} must be three finite numbers, std above 0, not {triple!r}")
    return _gpu(images, boxes, size, mean, std) if gpu else _cpu(images, boxes, size, mean, std)


def _cpu(images: Images, boxes: Array, size: int, mean: Triple, std: Triple) -> Array:
    arrays = as_list(images, np.uint8, np.float32)
    bytes_in = arrays[0].dtype == np.uint8
    affine = normalisation(tuple(mean), tuple(std), 255 if bytes_in else 1)
    out = np.empty((len(boxes) * boxes.shape[1], 3, size, size), np.float32)
    targets = iter(out)
    for index, (pixels, cuts) in enumerate(zip(arrays, boxes.tolist(), strict=True)):
        height, width = size_of(pixels)
        for top, left, bottom, right in cuts:
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise ValueError(
                    f"boxes[{index}]: {[top, left, bottom, right]} must be top, left, bottom, right inside"
                    f" the {height} x {width} image and not empty"
                )
            where = (slice(top, bottom), slice(left, right))
            cut = pixels[where] if bytes_in else pixels[:, where[0], where[1]]
            if not bytes_in:
                refuse_nan(f"images[{index}]", cut)
            if bottom - top == right - left == size:
                convert(cut, affine, next(targets))
            else:
                rows, columns = (
                    aligned(bottom - top, size, "rows"),
                    aligned(right - left, size, "columns"),
                )
                resample(cut, rows, columns, affine, next(targets))
    return out


def _gpu(images: Images, boxes: Array, size: int, mean: Triple, std: Triple) -> Array:
    table = as_table(images, np.uint8, np.float32)
    batch, patches, _ = boxes.shape
    bytes_in = table.dtype == np.uint8
    affine = normalisation(tuple(mean), tuple(std), 255 if bytes_in else 1)
    out: Array = cupy().empty((batch * patches, 3, size, size), np.float32)
    launch(
        "crops",
        "crop_resize_uint8" if bytes_in else "crop_resize_float32",
        batch * patches * size * size,
        *(table.base, table.offsets, table.shapes, cupy().ascontiguousarray(boxes)),
        *(np.int32(batch * patches), np.int32(patches), np.int32(size)),
        *(*affine.scale, *affine.bias, out),
    )
    return out
