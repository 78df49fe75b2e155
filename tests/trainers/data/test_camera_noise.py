"""Camera noise: the chain back and forth is the identity, and noise has the variance the formula says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers.data.camera_noise import Camera, NoiseLevel, noisy, sensor_noise

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.sampled_from([(np.float64, 1e-7), (np.float32, 2e-4)]))
@settings(max_examples=60, deadline=None)
def test_processing_undoes_unprocessing(seed: int, kind: tuple[type[np.floating], float]) -> None:
    dtype, tolerance = kind
    rng = np.random.default_rng(seed)
    rgb = rng.random((5, 7, 3)).astype(dtype)
    rgb[0], rgb[1] = 0, 1
    rgb[2, 0] = [1, 0, 0]  # outside the sensor's colours: raw values below 0
    camera = Camera.draw(rng)
    raw = camera.unprocess(rgb)
    assert raw.dtype == dtype
    np.testing.assert_allclose(camera.process(raw), rgb, atol=tolerance)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_cameras_keep_grey_and_levels_stay_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera, level = Camera.draw(rng), NoiseLevel.draw(rng)
    np.testing.assert_allclose(camera.matrix.sum(axis=1), 1)
    balanced = camera.unprocess(np.full((1, 1, 3), 0.6)) * camera.gains
    np.testing.assert_allclose(balanced, balanced[0, 0, 0])  # grey becomes grey once balanced
    assert 1e-4 <= level.shot <= 0.012
    expected = 2.18 * np.log(level.shot) + 1.20
    assert abs(np.log(level.read) - expected) < 6 * 0.26


@pytest.mark.parametrize("level", [NoiseLevel(0.012, 2e-4), NoiseLevel(1e-4, 1e-8), NoiseLevel(1e-3, 1e-3)])
@pytest.mark.parametrize("value", [0.0, 0.05, 0.6])
def test_noise_has_the_moments_of_the_formula(level: NoiseLevel, value: float) -> None:
    count = 400_000
    measured = level.sample(np.full(count, value), np.random.default_rng(1))
    variance = level.shot * value + level.read
    assert abs(measured.mean() - value) < 5 * (variance / count) ** 0.5
    fourth = ((measured - value) ** 4).mean()
    assert abs(((measured - value) ** 2).mean() - variance) < 5 * (fourth / count) ** 0.5
    third = ((measured - value) ** 3).mean()  # photons are counted: the third moment is the Poisson's
    assert abs(third - level.shot**2 * value) < 6 * (15 * variance**3 / count) ** 0.5 + 1e-3 * third


def test_no_photons_below_zero() -> None:
    level = NoiseLevel(0.01, 1e-4)
    measured = level.sample(np.full(200_000, -0.02), np.random.default_rng(2))
    assert measured.mean() == pytest.approx(-0.02, abs=1e-4)
    assert measured.var() == pytest.approx(level.read, rel=0.02)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_noise_is_measured_once_a_place_and_spread(top: int, left: int) -> None:
    """Where a colour was measured its variance is the formula's; between, that of the mean of 2 or 4."""
    level, raw = NoiseLevel(0.004, 1e-4), np.broadcast_to([0.2, 0.5, 0.3], (512, 512, 3))
    noise = sensor_noise(raw, level, np.random.default_rng(3), top, left)
    variance = level.shot * raw[0, 0].astype(np.float64) + level.read
    neighbours = {0: [[1, 2], [2, 4]], 1: [[4, 1], [1, 4]], 2: [[4, 2], [2, 1]]}
    for colour, counts in neighbours.items():
        for y in range(2):
            for x in range(2):
                part = noise[(top + y) % 2 :: 2, (left + x) % 2 :: 2, colour]
                wanted = variance[colour] / counts[y][x]
                assert part.var() == pytest.approx(wanted, rel=0.03), (colour, y, x)
                assert abs(part.mean()) < 5 * (wanted / part.size) ** 0.5 * 2
    edge = noise[0, :, :].var(axis=0)  # mirrored at the border: neither louder nor quieter
    assert (edge < variance * 1.3).all()
    assert (edge > variance / 4).all()


@given(SEEDS, st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_any_photograph_stays_one(seed: int, height: int, width: int) -> None:
    rgb = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    found = noisy(rgb, np.random.default_rng(seed))
    assert found.shape == rgb.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(found, noisy(rgb, np.random.default_rng(seed)))
    assert not np.array_equal(found, rgb)


def test_brighter_midtones_are_noisier_than_black() -> None:
    """What a photograph shows: the curve and shot noise lift midtones, black and white are clipped."""
    deviations = []
    for value in (0.0, 0.4, 1.0):
        rng = np.random.default_rng(5)
        images = [noisy(np.full((32, 32, 3), value), rng) - value for _ in range(20)]
        deviations.append(float(np.std(images)))
    assert deviations[1] > 2 * deviations[0]
    assert deviations[1] > 2 * deviations[2]
