"""A batch of images of different sizes, as a sequence of arrays or packed into one buffer."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, SupportsIndex, TypeAlias, overload

import numpy as np

from assay.kernels.arrays import Array, cupy, expect, on_gpu


class FlatImages(NamedTuple):
    """B images, one after another in one buffer, as a decoder with one allocation leaves them.

    buffer: (N,) uint8, images of (height, width, 3), or float32, images of (3, height, width).
    offsets: (B,) int64, the element of `buffer` at which each image begins.
    shapes: (B, 2) int32, height and width in pixels.
    """

    buffer: Array
    offsets: Array
    shapes: Array


class Gathered(tuple[Array, ...]):
    """Images for several kernels: the first finds out where they live and, on a GPU, makes their table."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> Array: ...
    @overload
    def __getitem__(self, at: slice) -> "Gathered": ...
    def __getitem__(self, at: SupportsIndex | slice) -> "Array | Gathered":
        part: Any = super().__getitem__(at)
        if isinstance(at, slice):
            return self if range(len(self))[at] == range(len(self)) else Gathered(part)
        found: Array = part
        return found

    @cached_property
    def gpu(self) -> bool:
        return on_gpu(**{f"images[{index}]": image for index, image in enumerate(self)})

    @cached_property
    def table(self) -> "Table":
        return as_table(tuple(self), np.uint8, np.float32)


Images: TypeAlias = Sequence[Array] | FlatImages


class Table(NamedTuple):
    """Where the images of a batch lie on a GPU; `arrays` keeps them alive until the launch."""

    base: np.uint64  # bytes
    offsets: Any  # (B,) int64, elements from base
    shapes: Any  # (B, 2) int32
    dtype: np.dtype[Any]
    arrays: Sequence[Any]


def images_on_gpu(images: Images, **others: Array) -> bool:
    """`on_gpu` of every array in the batch and of the other named arguments."""
    if isinstance(images, FlatImages):
        return on_gpu(**{f"images.{name}": value for name, value in images._asdict().items()}, **others)
    if len(images) == 0:
        raise ValueError("images must hold at least one image")
    if isinstance(images, Gathered):
        gpu = images.gpu
        return on_gpu(**{"images[0]": images[0]}, **others) if others else gpu
    return on_gpu(**{f"images[{index}]": image for index, image in enumerate(images)}, **others)


def as_list(images: Images, *dtypes: type[np.generic]) -> list[Array]:
    """The images of a batch on the host as checked arrays: (H, W, 3) uint8 or (3, H, W) float32."""
    if isinstance(images, FlatImages):
        _expect_flat(images, *dtypes)
        return [_unpack(images, index) for index in range(len(images.offsets))]
    _expect_each(images, *dtypes)
    return list(images)


def as_table(images: Images, *dtypes: type[np.generic]) -> Table:
    """The addresses of a batch on the GPU; sizes in a `FlatImages` are not checked: no waiting for them."""
    if isinstance(images, FlatImages):
        _expect_flat(images, *dtypes)
        buffer, offsets, shapes = map(cupy().ascontiguousarray, images)
        return Table(np.uint64(buffer.data.ptr), offsets, shapes, buffer.dtype, (buffer,))
    if isinstance(images, Gathered):
        expect("images[0]", images[0], "H W 3" if images.table.dtype == np.uint8 else "3 H W", *dtypes)
        return images.table
    _expect_each(images, *dtypes)
    arrays = [cupy().ascontiguousarray(image) for image in images]
    dtype = arrays[0].dtype
    addresses = np.array([array.data.ptr // dtype.itemsize for array in arrays], np.int64)
    sizes = np.array([size(array) for array in arrays], np.int32)
    # One upload: the addresses, then two int32 sizes in the place of each int64.
    packed = cupy().asarray(np.concatenate([addresses, sizes.view(np.int64).ravel()]))
    return Table(np.uint64(0), packed[: len(arrays)], packed[len(arrays) :].view(np.int32), dtype, arrays)


def size(image: Array) -> tuple[int, int]:
    """(height, width) of a uint8 (H, W, 3) or float32 (3, H, W) image."""
    height, width = image.shape[:2] if image.dtype == np.uint8 else image.shape[1:]
    return height, width


def _expect_each(images: Sequence[Array], *dtypes: type[np.generic]) -> None:
    first = images[0].dtype
    if first == np.uint8 in dtypes and all(
        image.dtype == first and image.ndim == 3 and image.shape[2] == 3 and image.size for image in images
    ):
        return  # what decoders give; anything else is looked at more closely
    for index, image in enumerate(images):
        if image.dtype != first:
            raise ValueError(f"images[{index}] is {image.dtype} but images[0] is {first}")
        expect(f"images[{index}]", image, "3 H W" if image.dtype == np.float32 else "H W 3", *dtypes)


def _expect_flat(images: FlatImages, *dtypes: type[np.generic]) -> None:
    expect("images.buffer", images.buffer, "N", *dtypes)
    expect("images.offsets", images.offsets, "B", np.int64)
    expect("images.shapes", images.shapes, f"{len(images.offsets)} 2", np.int32)


def _unpack(images: FlatImages, index: int) -> Array:
    offset, (height, width) = int(images.offsets[index]), map(int, images.shapes[index])
    if offset < 0 or height < 1 or width < 1 or offset + 3 * height * width > images.buffer.size:
        raise ValueError(
            f"images: image {index}, {height} x {width} at {offset}, lies outside the buffer"
            f" of {images.buffer.size}"
        )
    values = images.buffer[offset : offset + 3 * height * width]
    return values.reshape((height, width, 3) if values.dtype == np.uint8 else (3, height, width))
