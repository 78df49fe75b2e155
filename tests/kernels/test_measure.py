"""Measures of images against a float64 oracle, and what they are for: each tells what it is named after."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.cuda_host import gpu_on_host, on_host_gpu
from support.images import photograph

from assay.kernels import measure

TILE, ACROSS = 64, 5


def oracle(image: np.ndarray) -> list[float]:
    height, width = image.shape[:2]
    side = min(TILE, min(height, width) // 8 * 8)
    tops, lefts = (
        [int(at * (length // count) + (length // count - side) // 2) for at in range(count)]
        for length, count in ((height, min(ACROSS, height // side)), (width, min(ACROSS, width // side)))
    )
    tiles = [image[top : top + side, left : left + side].astype(np.float64) for top in tops for left in lefts]
    variances = [
        tile[y : y + 8, x : x + 8, 1].var()
        for tile in tiles
        for y in range(0, side, 8)
        for x in range(0, side, 8)
    ]
    same = [
        (tile[:-1, :-1] == tile[:-1, 1:]).all(-1) & (tile[:-1, :-1] == tile[1:, :-1]).all(-1)
        for tile in tiles
    ]

    def frequency(step: int, axis: int) -> float:
        squares: list[list[float]] = [[], []]
        for tile in tiles[::2]:
            rows = tile[..., 1].T if axis else tile[..., 1]
            first = rows[:, step:] - rows[:, :-step]
            second = first[:, step:] - first[:, :-step]
            squares[0].extend(first.ravel() ** 2)
            squares[1].extend(second.ravel() ** 2)
        return float((np.mean(squares[1]) + 1 / 12) / (np.mean(squares[0]) + 1 / 12))

    near, far = (frequency(step, 0) + frequency(step, 1) for step in (1, 4))
    return [float(np.mean(np.array(variances) > 1)), float(np.mean(same)), near / far]


@given(st.integers(16, 150), st.integers(16, 700), st.integers(0, 99), st.sampled_from([1, 7, 60, 256]))
@settings(max_examples=30)
def test_the_measures_are_those_of_the_oracle(height: int, width: int, seed: int, levels: int) -> None:
    image = np.random.default_rng(seed).integers(0, levels, (height, width, 3)).astype(np.uint8)
    [found] = measure([image])
    assert found == pytest.approx(oracle(image), rel=1e-4, abs=1e-6)


def test_a_batch_is_measured_image_by_image() -> None:
    images = [photograph(90, 130, 1), photograph(16, 700, 2), photograph(400, 640, 3)[:, ::-1]]
    assert measure(images) == pytest.approx(np.array([oracle(image) for image in images]), rel=1e-4)
    assert measure(images).dtype == np.float32


def test_an_even_image_has_no_detail_and_is_not_taken_for_an_enlarged_one() -> None:
    assert measure([np.full((70, 70, 3), 9, np.uint8)]).tolist() == [[0, 1, 1]]


def test_enlarging_lowers_fineness_each_time() -> None:
    """Whatever the content: white noise, and noise whose spectrum falls as that of photographs does."""
    rng = np.random.default_rng(1)
    y, x = np.meshgrid(np.fft.fftfreq(200), np.fft.fftfreq(200), indexing="ij")
    natural = np.fft.ifft2(np.fft.fft2(rng.normal(size=(200, 200))) / np.maximum(np.hypot(y, x), 0.005)).real
    for plane in (rng.normal(size=(200, 200)), natural):
        levels = np.clip(128 + 40 * plane / plane.std(), 0, 255).astype(np.uint8)
        image = Image.fromarray(np.repeat(levels[..., None], 3, axis=2))
        sizes = [image.resize((side, side), Image.Resampling.BICUBIC) for side in (200, 300, 400, 600)]
        finenesses = measure([np.asarray(one) for one in sizes])[:, 2]
        assert (np.diff(finenesses) < -0.04).all(), finenesses
        assert finenesses[-1] < 0.5 * finenesses[0]


def test_a_drawing_of_one_colour_a_field_is_repeated_and_a_photograph_is_not() -> None:
    rng = np.random.default_rng(0)
    fields = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8).repeat(30, axis=0).repeat(30, axis=1)
    drawing, photo = measure([fields, photograph(360, 360)])
    assert drawing[1] > 0.9
    assert photo[1] < 0.1


@pytest.mark.parametrize(
    "image",
    [np.zeros((15, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)],
    ids=["too small", "no channels", "float"],
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="images must"):
        measure([image])


@given(
    st.lists(st.tuples(st.integers(16, 150), st.integers(16, 700)), min_size=1, max_size=3),
    st.integers(0, 99),
    st.sampled_from([1, 2, 7, 60, 256]),
)
@settings(max_examples=30, deadline=None)
def test_a_kernel_measures_a_batch_as_the_oracle_does(
    sizes: list[tuple[int, int]], seed: int, levels: int
) -> None:
    random = np.random.default_rng(seed)
    images = [random.integers(0, levels, (*size, 3)).astype(np.uint8) for size in sizes]
    with gpu_on_host():
        found = np.asarray(measure([on_host_gpu(image) for image in images]))
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([oracle(image) for image in images]), rel=1e-5, abs=1e-6)


def test_large_images_of_extremes_are_counted_without_overflow() -> None:
    board = (np.indices((700, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=2)
    with gpu_on_host():
        found = np.asarray(measure([on_host_gpu(image)]))
    assert found[0] == pytest.approx(oracle(image), rel=1e-5)


@pytest.mark.parametrize(
    "image",
    [np.zeros((15, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)],
    ids=["too small", "no channels", "float"],
)
def test_a_kernel_is_not_given_what_is_no_image(image: np.ndarray) -> None:
    with gpu_on_host(), pytest.raises(ValueError, match="images"):
        measure([on_host_gpu(image)])
