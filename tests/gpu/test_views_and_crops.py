"""The CUDA forms on a real GPU, against the CPU forms and without any wait for the device."""

import numpy as np
import pytest
from support.gpu import assert_asynchronous

from assay.kernels import (
    FlatImages,
    ViewRule,
    crop_resize,
    patch_boxes,
    select_windows,
    view,
    window_scores,
)

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SIZES = [(384, 512), (3000, 4000), (100, 77), (224, 224), (225, 900)]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def flat(images: list[np.ndarray]) -> FlatImages:
    shapes = [i.shape[:2] if i.dtype == np.uint8 else i.shape[1:] for i in images]
    lengths = np.array([0, *(image.size for image in images)], np.int64)
    buffer = cupy.concatenate([cupy.asarray(image).ravel() for image in images])
    return FlatImages(buffer, cupy.asarray(lengths.cumsum()[:-1]), cupy.asarray(np.array(shapes, np.int32)))


@pytest.mark.parametrize("resize", ["short_side", "exact", "none"])
@pytest.mark.parametrize("small", ["enlarge", "wrap"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("antialias", [True, False])
def test_views(images, resize: str, small: str, channels: str, antialias: bool) -> None:
    rule = ViewRule(
        resize=resize,
        size=224,
        crop=[[0, 0], [0.3, 0.7], [1, 1]],
        small=small,
        channels=channels,
        antialias=antialias,
        **IMAGENET,
    )
    expected = view(images, rule)
    for there in ([cupy.asarray(image) for image in images], flat(images)):
        np.testing.assert_allclose(view(there, rule).get(), expected, rtol=1e-5, atol=1e-5)


def test_views_at_offsets(images) -> None:
    rule = ViewRule(resize="short_side", size=64, crop="centre", **IMAGENET)
    generator = np.random.default_rng(1)
    free = np.array([rule.room(*size) for size in SIZES]) - 64
    offsets = generator.integers(0, free[:, None] + 1, (len(SIZES), 2, 2)).astype(np.int32)
    there = view([cupy.asarray(image) for image in images], rule, cupy.asarray(offsets))
    np.testing.assert_allclose(there.get(), view(images, rule, offsets), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 5, None])
def test_windows_and_boxes_are_the_same_integers(levels: int | None) -> None:
    generator = np.random.default_rng(0)
    activation = generator.random((4096, 7, 7), dtype=np.float32)
    if levels:
        activation = np.floor(activation * levels)
    sizes = generator.integers(1, 9000, (len(activation), 2), dtype=np.int32)
    for window, patch in ((3, 224), (2, 112)):
        scores = window_scores(activation, window)
        picked = select_windows(scores, 3)
        there = window_scores(cupy.asarray(activation), window)
        np.testing.assert_array_equal(there.get(), scores)
        there = select_windows(there, 3)
        np.testing.assert_array_equal(there.get(), picked)
        boxes = patch_boxes(there, window, 7, cupy.asarray(sizes), patch)
        np.testing.assert_array_equal(boxes.get(), patch_boxes(picked, window, 7, sizes, patch))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_crops(images, dtype: type) -> None:
    if dtype == np.float32:
        images = [np.ascontiguousarray(i.transpose(2, 0, 1), np.float32) / np.float32(255) for i in images]
    boxes = np.array([[[0, 0, h, w], [h // 3, w // 4, h // 3 + 1, w]] for h, w in SIZES], np.int32)
    expected = crop_resize(images, boxes, 224, **IMAGENET)
    for there in ([cupy.asarray(image) for image in images], flat(images)):
        result = crop_resize(there, cupy.asarray(boxes), 224, **IMAGENET)
        np.testing.assert_allclose(result.get(), expected, rtol=1e-5, atol=1e-5)


def test_calls_are_asynchronous(images) -> None:
    rule = ViewRule(resize="short_side", size=224, crop="centre", **IMAGENET)
    there = [cupy.asarray(image) for image in images]
    packed = flat(images)
    offsets = cupy.zeros((len(images), 1, 2), np.int32)
    boxes = cupy.zeros((len(images), 1, 4), np.int32) + cupy.asarray([0, 0, 112, 112], np.int32)
    activation = cupy.ones((len(images), 7, 7), np.float32)
    sizes = cupy.asarray(np.array(SIZES, np.int32))

    def chain() -> list[object]:
        windows = select_windows(window_scores(activation, 3), 3)
        patches = patch_boxes(windows, 3, 7, sizes, 224)
        views = [view(there, rule), view(packed, rule), view(there, rule, offsets)]
        return [*views, crop_resize(there, patches, 224, **IMAGENET), crop_resize(packed, boxes, 224)]

    assert_asynchronous(chain)
