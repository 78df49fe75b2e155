"""Steps do what they say, no more often than they say, and nothing but their seed decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.photos import scene

from assay.trainers.data.augment import (
    VALIDATION,
    Blur,
    Colour,
    Compress,
    Cut,
    Flip,
    Grey,
    Longest,
    Noise,
    Pixels,
    Rescale,
    Sharpen,
    Step,
    Turn,
    altering,
    recipe,
)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return scene(np.random.default_rng(0), 90, 70)


def spread(values: Pixels) -> float:
    """Mean squared step between neighbours: how much fine detail there is."""
    return float((np.diff(values.astype(float), axis=1) ** 2).mean())


@pytest.mark.parametrize(
    "step",
    [
        *(Blur(0.1), Compress(0.1), Rescale(0.1, (0.5, 0.9), 8), Noise(0.1, (3, 9)), Colour(0.1, 0.3)),
        *(Grey(0.1), Cut(0.1, (0.4, 0.8), 8), Longest(0.1, (20, 90), 8), Sharpen(0.1, (1, 2), (80, 120))),
    ],
    ids=lambda step: type(step).__name__,
)
def test_one_image_in_ten(step: Step, pixels: Pixels) -> None:
    changed = sum(
        not np.array_equal(step(pixels, np.random.default_rng(seed)), pixels) for seed in range(600)
    )
    assert 36 <= changed <= 84  # 60 expected; three standard deviations are 22


def test_validation_is_altered_now_and_then_and_always_alike(pixels: Pixels) -> None:
    """Blur of 1.5 and quality 65 each on one image in ten, so both on one in a hundred; never a flip."""
    blurred = Blur(1.0, (1.5, 1.5))(pixels, np.random.default_rng(9))
    both = [Compress(1.0, (65, 65))(one, np.random.default_rng(9)) for one in (pixels, blurred)]
    possible = {one.tobytes() for one in (pixels, blurred, *both)}
    alter = altering(VALIDATION)
    found = [alter(pixels).tobytes() for _ in range(600)]
    assert set(found) == possible
    assert 79 <= sum(one != pixels.tobytes() for one in found) <= 149  # 114 expected; 9.6 is one deviation
    again = altering(VALIDATION)
    assert [again(pixels).tobytes() for _ in range(600)] == found


def test_blur_takes_detail_and_keeps_the_mean(pixels: Pixels) -> None:
    blurred = Blur(1.0, (1.5, 1.5))(pixels, np.random.default_rng(0))
    assert spread(blurred) < spread(pixels) / 3
    assert abs(blurred.mean() + 1 - pixels.mean()) < 0.1  # two passes, each cutting off half a step


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lower_quality_is_further_away(pixels: Pixels, format: str) -> None:
    def error(quality: int) -> float:
        step = Compress(1.0, (quality, quality), (format,), ("4:4:4",))
        return float(np.abs(step(pixels, np.random.default_rng(0)).astype(int) - pixels).mean())

    assert 0 < error(95) < error(60) < error(30)


def test_rescale_stops_at_the_floor(pixels: Pixels) -> None:
    for seed in range(30):
        made = Rescale(1.0, (0.2, 0.4), floor=64)(pixels, np.random.default_rng(seed))
        assert min(made.shape[:2]) == 64
    tiny = pixels[:40, :30]
    assert Rescale(1.0, (0.2, 0.4), floor=64)(tiny, np.random.default_rng(0)).shape == tiny.shape


def test_flip_and_turn_are_exact(pixels: Pixels) -> None:
    assert np.array_equal(Flip(1.0)(pixels, np.random.default_rng(0)), pixels[:, ::-1])
    turned = {Turn()(pixels, np.random.default_rng(seed)).tobytes() for seed in range(40)}
    assert turned == {np.rot90(pixels, count).tobytes() for count in range(4)}


def test_noise_has_the_deviation_asked_for() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = Noise(1.0, (4.0, 4.0))(grey, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(4.0, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.05)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(8, 150),
    width=st.integers(8, 150),
    name=st.sampled_from(["cnn_aug", "shipped", "none"]),
)
def test_a_recipe_keeps_the_form_and_follows_its_seed(seed: int, height: int, width: int, name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    before = pixels.copy()
    results = []
    for _ in range(2):
        rng, made = np.random.default_rng(seed), pixels
        for step in recipe(name, 32):  # type: ignore[arg-type]
            made = step(made, rng)
        assert made.dtype == np.uint8
        assert made.ndim == 3
        assert made.shape[2] == 3
        results.append(made)
    assert np.array_equal(*results)
    assert np.array_equal(pixels, before)


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    floor=st.integers(1, 300),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_cuts_and_sizes_stay_within_what_they_promise(height: int, width: int, floor: int, seed: int) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    cut = Cut(1.0, (0.3, 1.0), floor)(pixels, np.random.default_rng(seed))
    assert all(
        min(whole, floor) <= side <= whole for side, whole in zip(cut.shape, (height, width), strict=False)
    )
    sized = Longest(1.0, (60, 200), floor)(pixels, np.random.default_rng(seed)).shape[:2]
    shorter, longer = sorted((height, width))
    kept = longer * min(1.0, floor / shorter)  # what the floor for the shorter side asks of the longer one
    assert max(sized) <= max(min(200, 1.15 * longer), kept) + 1
    assert min(sized) >= min(floor, shorter) - 1


def test_sizes_of_both_classes_become_alike() -> None:
    """Large and small images end with the same spread of longest sides, where neither has to be enlarged."""
    step = Longest(1.0, (64, 256), 16)
    found = [
        sorted(
            max(step(np.zeros((side, side, 3), np.uint8), np.random.default_rng(seed)).shape)
            for seed in range(200)
        )
        for side in (256, 1024)
    ]
    assert np.abs(np.subtract(*found)).mean() < 20


def test_what_is_larger_than_the_range_is_always_reduced() -> None:
    pixels = np.zeros((300, 500, 3), np.uint8)
    for seed in range(40):
        assert max(Longest(0.0, (64, 256), 16)(pixels, np.random.default_rng(seed)).shape) <= 256
