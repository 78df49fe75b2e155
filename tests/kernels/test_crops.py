import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import kernel_oracles as oracle
from support.cuda_host import gpu_on_host, on_host_gpu

from assay.kernels import FlatImages, crop_resize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(sizes: list[tuple[int, int]], dtype: type) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    if dtype == np.uint8:
        return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    return [generator.standard_normal((3, *size), dtype=np.float32) for size in sizes]


def flat(images: list[np.ndarray]) -> FlatImages:
    """The images in one buffer, gaps before and behind each; NaN there shows a read outside an image."""
    sizes = [i.shape[:2] if i.dtype == np.uint8 else i.shape[1:] for i in images]
    gap = np.full(50, 99 if images[0].dtype == np.uint8 else np.nan, images[0].dtype)
    lengths = np.array([gap.size + image.size for image in images], np.int64)
    buffer = np.concatenate([*(part for image in images for part in (gap, image.ravel())), gap])
    return FlatImages(buffer, lengths.cumsum() - lengths + gap.size, np.array(sizes, np.int32))


def both_forms(images: list[np.ndarray], boxes: np.ndarray, *arguments):
    yield crop_resize(images, boxes, *arguments)
    yield crop_resize(flat(images), boxes, *arguments)
    with gpu_on_host():
        there = on_host_gpu(boxes)
        yield crop_resize([on_host_gpu(image) for image in images], there, *arguments)
        yield crop_resize(FlatImages(*map(on_host_gpu, flat(images))), there, *arguments)


@st.composite
def batches(draw) -> tuple[list[tuple[int, int]], np.ndarray]:
    side = st.integers(1, 40)
    sizes = draw(st.lists(st.tuples(side, side), min_size=1, max_size=3))
    count = draw(st.integers(1, 3))
    boxes = np.empty((len(sizes), count, 4), np.int32)
    for image, size in enumerate(sizes):
        for patch in range(count):
            for axis, length in enumerate(size):
                start = draw(st.integers(0, length - 1))
                boxes[image, patch, axis::2] = start, draw(st.integers(start + 1, length))
    return sizes, boxes


@settings(max_examples=80, deadline=None)
@given(batches(), st.integers(1, 12), st.sampled_from([np.uint8, np.float32]), st.booleans())
def test_forms_agree_with_the_definition(batch, size: int, dtype: type, normalise: bool) -> None:
    sizes, boxes = batch
    images = noise(sizes, dtype)
    mean, std = (MEAN, STD) if normalise else ((0, 0, 0), (1, 1, 1))
    expected = np.stack(
        [
            oracle.crop_resize(image, box, size, mean, std)
            for image, cuts in zip(images, boxes, strict=True)
            for box in cuts
        ]
    )
    for result in both_forms(images, boxes, size, *((mean, std) if normalise else ())):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_is_torchs_interpolate_with_aligned_corners(dtype: type) -> None:
    torch = pytest.importorskip("torch")
    images = noise([(300, 260), (90, 500)], dtype)
    boxes = np.array([[[10, 20, 234, 244], [0, 0, 112, 112]], [[0, 0, 90, 224], [40, 77, 41, 78]]], np.int32)
    for result in both_forms(images, boxes, 224, MEAN, STD):
        planes = iter(result)
        for image, cuts in zip(images, boxes, strict=True):
            pixels = image.transpose(2, 0, 1) / 255 if dtype == np.uint8 else image
            whole = (torch.tensor(pixels).double() - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
                :, None, None
            ]
            for top, left, bottom, right in cuts:
                expected = torch.nn.functional.interpolate(
                    whole[None, :, top:bottom, left:right], (224, 224), mode="bilinear", align_corners=True
                )
                np.testing.assert_allclose(next(planes), expected[0].numpy(), rtol=1e-5, atol=1e-5)


def test_a_box_of_the_size_is_copied() -> None:
    (image,) = noise([(30, 40)], np.float32)
    box = np.array([[[5, 9, 21, 25]]], np.int32)
    for result in both_forms([image], box, 16):
        np.testing.assert_array_equal(result[0], image[:, 5:21, 9:25])


def test_a_gpu_never_reads_outside_an_image() -> None:
    """There boxes cannot be checked without waiting, so they are clamped; here the copy can be seen."""
    (image,) = noise([(6, 5)], np.uint8)
    boxes = np.array([[[-9, -9, 90, 90], [90, 90, 99, 99], [3, 3, 1, 1]]], np.int32)
    clamped = np.array([[[0, 0, 6, 5], [5, 4, 6, 5], [3, 3, 4, 4]]], np.int32)
    with gpu_on_host():
        there = crop_resize([on_host_gpu(image)], on_host_gpu(boxes), 4)
    np.testing.assert_allclose(there, crop_resize([image], clamped, 4), rtol=1e-5, atol=1e-6)


IMAGES = noise([(9, 8)], np.uint8)
BOX = np.array([[[0, 0, 4, 4]]], np.int32)


@pytest.mark.parametrize(
    ("images", "boxes", "named", "message"),
    [
        ([], BOX, {}, "images must hold at least one"),
        (IMAGES, BOX.astype(np.int64), {}, r"boxes must be \(1, P, 4\) int32"),
        (IMAGES, BOX[0], {}, "boxes"),
        (IMAGES, BOX[:, :0], {}, "boxes"),
        (IMAGES, BOX + np.int32(5), {}, r"boxes\[0\]: \[5, 5, 9, 9\]"),
        (IMAGES, BOX - np.int32(1), {}, r"boxes\[0\]"),
        (IMAGES, BOX * 0, {}, "not empty"),
        (IMAGES, BOX, {"size": 0}, "size must be at least 1"),
        (IMAGES, BOX, {"mean": (1, 2)}, "mean must be three"),
        (IMAGES, BOX, {"std": (1, 2, 0)}, "std must be three"),
        (IMAGES, BOX, {"mean": (1, 2, np.nan)}, "mean"),
        ([IMAGES[0].astype(np.int16)], BOX, {}, r"images\[0\] must be .* uint8 or float32"),
        (noise([(9, 8)], np.float32) + IMAGES, np.concatenate([BOX, BOX]), {}, r"images\[1\] is uint8"),
        ([np.full((3, 8, 8), np.nan, np.float32)], BOX, {}, r"images\[0\] holds NaN"),
    ],
)
def test_names_the_argument_that_is_wrong(images, boxes, named, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crop_resize(images, boxes, **{"size": 4, **named})


def test_refuses_arrays_of_two_places() -> None:
    with gpu_on_host(), pytest.raises(ValueError, match="boxes lives on CUDA device -1"):
        crop_resize(IMAGES, on_host_gpu(BOX), 4)
