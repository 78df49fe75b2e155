import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import kernel_oracles as oracle
from support.cuda_host import gpu_on_host, on_host_gpu

from assay.kernels import FlatImages, ViewRule, view

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}
FIVE = [[0, 0], [0, 1], [0.5, 0.5], [1, 0], [1, 1]]

fractions = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
rules = st.builds(
    ViewRule,
    resize=st.sampled_from(["short_side", "exact", "none"]),
    size=st.integers(1, 20),
    crop=st.just("centre") | st.lists(st.tuples(fractions, fractions), min_size=1, max_size=4),
    antialias=st.booleans(),
    small=st.sampled_from(["enlarge", "wrap"]),
    channels=st.sampled_from(["rgb", "bgr"]),
    mean=st.just(IMAGENET["mean"]),
    std=st.just(IMAGENET["std"]),
)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


def noise(*sizes: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def flat(images: list[np.ndarray]) -> FlatImages:
    """The images in one buffer, with a gap before each."""
    offsets, parts, length = [], [], 0
    for image in images:
        parts += [np.full(7, 99, image.dtype), image.ravel()]
        offsets.append(length + 7)
        length += 7 + image.size
    shapes = [i.shape[:2] if i.dtype == np.uint8 else i.shape[1:] for i in images]
    return FlatImages(np.concatenate(parts), np.array(offsets, np.int64), np.array(shapes, np.int32))


def both_forms(images: list[np.ndarray], rule: ViewRule, offsets: np.ndarray | None = None):
    """The view of the CPU form and of the CUDA source, each from a list and from one buffer."""
    yield view(images, rule, offsets)
    yield view(flat(images), rule, offsets)
    with gpu_on_host():
        there = None if offsets is None else on_host_gpu(offsets)
        yield view([on_host_gpu(image) for image in images], rule, there)
        yield view(FlatImages(*map(on_host_gpu, flat(images))), rule, there)


@settings(max_examples=120, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=3), rules)
def test_forms_agree_with_the_definition(shapes: list[tuple[int, int]], rule: ViewRule) -> None:
    images = noise(*shapes)
    expected = np.concatenate([oracle.view(image, rule) for image in images])
    for result in both_forms(images, rule):
        assert result.dtype == np.float32
        assert result.shape == (len(images) * rule.crops, 3, rule.size, rule.size)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=3), rules, st.integers(1, 3), st.randoms(use_true_random=False))
def test_offsets_take_the_place_of_crops(shapes, rule: ViewRule, count: int, random) -> None:
    images = noise(*shapes)
    rooms = [rule.room(*shape) for shape in shapes]
    offsets = np.array(
        [[[random.randint(0, side - rule.size) for side in room] for _ in range(count)] for room in rooms],
        np.int32,
    )
    expected = np.concatenate(
        [oracle.view(image, rule, corners) for image, corners in zip(images, offsets, strict=True)]
    )
    for result in both_forms(images, rule, offsets):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(384, 512), (853, 1280), (225, 224), (90, 110), (3000, 2000), (224, 224)])
def test_is_what_pillow_gives_before_it_rounds(size: tuple[int, int]) -> None:
    (noisy,) = noise(size)
    rule = ViewRule(resize="short_side", size=224, crop=FIVE, **PLAIN)
    height, width = rule.scaled(*size)
    image = Image.fromarray(noisy).resize((width, height), Image.Resampling.BILINEAR)
    for result, (y, x) in zip(view([noisy], rule), FIVE, strict=True):
        top, left = int(y * (height - 224)), int(x * (width - 224))
        expected = np.asarray(image)[top : top + 224, left : left + 224].transpose(2, 0, 1)
        # Pillow rounds to a whole grey level after each of its two passes.
        assert abs(result * 255 - expected).max() <= 1.01


def test_photograph_sizes_agree_in_both_forms() -> None:
    """Long axes, where float32 alone could not say which pixels a tap lies on."""
    images = noise((2001, 37), (37, 2001), (480, 640))
    rule = ViewRule(resize="short_side", size=32, crop=[[0, 0], [1, 1]], **IMAGENET)
    first, *others = both_forms(images, rule)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("antialias", [False, True])
def test_without_antialias_is_torchs_interpolate(antialias: bool) -> None:
    torch = pytest.importorskip("torch")
    (image,) = noise((47, 61))
    rule = ViewRule(resize="exact", size=24, crop="centre", antialias=False, **PLAIN)
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].double() / 255
    expected = torch.nn.functional.interpolate(planes, (24, 24), mode="bilinear", antialias=antialias)
    rule = ViewRule(resize="exact", size=24, crop="centre", antialias=antialias, **PLAIN)
    np.testing.assert_allclose(view([image], rule), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 9), (224, 300), (701, 333)])
def test_a_flat_image_stays_flat_at_any_scale(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 255, np.uint8)
    result = view([image], ViewRule(resize="short_side", size=64, crop="centre", **PLAIN))
    np.testing.assert_allclose(result, 1, rtol=1e-6)


def test_wrapping_repeats_to_the_right_and_down() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    rule = ViewRule(resize="none", size=4, crop=[[0, 0], [1, 1]], small="wrap", **PLAIN)
    assert rule.room(2, 3) == (4, 6)
    rows = (view([image], rule)[:, 0] * 255).round().astype(int)
    assert rows[0].tolist() == [[0, 1, 2, 0], [3, 4, 5, 3], [0, 1, 2, 0], [3, 4, 5, 3]]
    assert rows[1].tolist() == [[2, 0, 1, 2], [5, 3, 4, 5], [2, 0, 1, 2], [5, 3, 4, 5]]


def test_reads_images_that_are_not_contiguous() -> None:
    (image,) = noise((40, 50))
    rule = ViewRule(resize="short_side", size=16, crop="centre", **IMAGENET)
    turned = np.ascontiguousarray(image[::-1].transpose(1, 0, 2)).transpose(1, 0, 2)[::-1]
    np.testing.assert_array_equal(view([turned], rule), view([image], rule))


def test_a_stacked_batch_is_a_sequence_of_images() -> None:
    images = noise((30, 20), (30, 20))
    rule = ViewRule(resize="none", size=16, crop="centre", **IMAGENET)
    np.testing.assert_array_equal(view(np.stack(images), rule), view(images, rule))


RULE = ViewRule(resize="none", size=8, crop="centre", **IMAGENET)
GOOD = noise((9, 10))


@pytest.mark.parametrize(
    ("images", "offsets", "message"),
    [
        ([], None, "images must hold at least one"),
        ([[1, 2]], None, r"images\[0\] must be a NumPy or CuPy array, not list"),
        ([*GOOD, GOOD[0].astype(np.float64)], None, r"images\[1\] is float64"),
        ([GOOD[0].astype(np.float32)], None, r"images\[0\] must be \(3, H, W\) uint8"),
        ([GOOD[0][:, :, :1]], None, r"images\[0\] must be \(H, W, 3\) uint8"),
        ([GOOD[0][:0]], None, r"images\[0\]"),
        (GOOD, np.zeros((1, 1, 2)), r"offsets must be \(1, C, 2\) int32"),
        (GOOD, np.zeros((2, 1, 2), np.int32), "offsets"),
        (GOOD, np.full((1, 1, 2), 2, np.int32), r"offsets\[0\] must lie in \(0, 0\)\.\.\(1, 2\)"),
        (GOOD, np.full((1, 1, 2), -1, np.int32), r"offsets\[0\]"),
        (flat(GOOD)._replace(shapes=np.array([[9, 11]], np.int32)), None, "lies outside the buffer"),
        (flat(GOOD)._replace(shapes=np.array([[9, 10]])), None, r"images\.shapes must be \(1, 2\) int32"),
        (flat(GOOD)._replace(offsets=np.array([-1])), None, "image 0"),
    ],
)
def test_names_the_argument_that_is_wrong(images, offsets, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        view(images, RULE, offsets)


def test_refuses_arrays_of_two_places() -> None:
    with gpu_on_host(), pytest.raises(ValueError, match=r"images\[1\] lives on the host \(NumPy\)"):
        view([on_host_gpu(GOOD[0]), GOOD[0]], RULE)
