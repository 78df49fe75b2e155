"""Half spectra against the sum over waves, and what is read from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.spectra_cases import images
from support.spectra_oracle import transform

from assay import kernels

RELATIVE = 1e-5


@given(images())
def test_spectrum_is_the_first_half_of_the_transform(pixels: NDArray[np.float32]) -> None:
    expected = transform(pixels)[..., : pixels.shape[3] // 2 + 1]
    found = kernels.spectrum(pixels)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, rtol=0, atol=RELATIVE * np.abs(expected).max())


@given(images())
def test_amplitude_and_phase_fill_the_whole_plane(pixels: NDArray[np.float32]) -> None:
    width = pixels.shape[3]
    expected = transform(pixels)
    half = kernels.spectrum(pixels)
    amplitude = kernels.full(kernels.amplitude(half), width)
    phase = kernels.full(kernels.phase(half), width, odd=True)
    assert amplitude.dtype == phase.dtype == np.float32
    assert amplitude.shape == phase.shape == pixels.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(amplitude, np.abs(expected), rtol=0, atol=RELATIVE * scale)
    # On the circle and weighted by amplitude: the angle of a coefficient of 0 means nothing.
    apart = np.abs(expected) * np.abs(np.exp(1j * phase.astype(np.float64)) - np.exp(1j * np.angle(expected)))
    assert apart.max() <= RELATIVE * scale


def test_phase_of_known_waves() -> None:
    x = np.arange(8) / 8
    rows = [np.cos(2 * np.pi * x), np.sin(2 * np.pi * x), -np.cos(2 * np.pi * x)]
    waves = np.stack(rows).astype(np.float32)[None, :, None, :]
    phase = kernels.phase(kernels.spectrum(waves))[0, :, 0, 1]
    np.testing.assert_allclose(phase[:2], [0, -np.pi / 2], atol=1e-6)
    np.testing.assert_allclose(abs(phase[2]), np.pi, atol=1e-6)


@pytest.mark.parametrize("width", [4, 5])
def test_full_changes_the_sign_of_the_added_half_alone(width: int) -> None:
    half = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    expected = {
        4: [[1, 2, 3, -2], [4, 5, 6, -8], [7, 8, 9, -5]],
        5: [[1, 2, 3, -3, -2], [4, 5, 6, -9, -8], [7, 8, 9, -6, -5]],
    }
    np.testing.assert_array_equal(kernels.full(half, width, odd=True)[0, 0], expected[width])
    np.testing.assert_array_equal(kernels.full(half, width)[0, 0], np.abs(expected[width]))


@given(images(), st.integers(0, 2**32 - 1))
def test_grey_is_the_weighted_sum_over_channels(pixels: NDArray[np.float32], seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=pixels.shape[1]).astype(np.float32)
    expected = np.einsum("bchw,c->bhw", pixels.astype(np.float64), weights.astype(np.float64))
    found = kernels.grey(pixels, weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=RELATIVE * max(1, np.abs(weights).max()))


@settings(max_examples=25)
@given(images())
def test_strided_arrays_are_taken(pixels: NDArray[np.float32]) -> None:
    strided = np.flip(np.flip(pixels, 3).copy(), 3)
    np.testing.assert_array_equal(kernels.spectrum(strided), kernels.spectrum(pixels))
    weights = np.ones(pixels.shape[1], np.float32)
    np.testing.assert_allclose(kernels.grey(strided, weights), kernels.grey(pixels, weights), rtol=1e-6)


PIXELS = np.zeros((1, 3, 4, 6), np.float32)
HALF = np.zeros((1, 3, 4, 4), np.float32)
NAN = np.full_like(PIXELS, np.nan)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: kernels.spectrum(PIXELS[0]), "images"),
        (lambda: kernels.spectrum(PIXELS.astype(np.float64)), "images"),
        (lambda: kernels.spectrum(PIXELS[:0]), "images"),
        (lambda: kernels.spectrum(NAN), "images holds NaN"),
        (lambda: kernels.spectrum(PIXELS.tolist()), "images"),
        (lambda: kernels.amplitude(PIXELS), "spectrum"),
        (lambda: kernels.phase(PIXELS), "spectrum"),
        (lambda: kernels.phase(NAN.astype(np.complex64)), "spectrum holds NaN"),
        (lambda: kernels.full(HALF.astype(np.complex64), 6), "half"),
        (lambda: kernels.full(np.full_like(HALF, np.nan), 6), "half holds NaN"),
        (lambda: kernels.full(HALF, 5), "width must be 6 or 7"),
        (lambda: kernels.full(HALF, 8), "width must be 6 or 7"),
        (lambda: kernels.full(HALF, 6.0), "width"),
        (lambda: kernels.full(HALF[..., :1], 0), "width must be 1"),
        (lambda: kernels.grey(PIXELS, np.ones(2, np.float32)), "weights"),
        (lambda: kernels.grey(PIXELS, np.ones(3)), "weights"),
        (lambda: kernels.grey(NAN, np.ones(3, np.float32)), "images holds NaN"),
        (lambda: kernels.grey(PIXELS, np.full(3, np.nan, np.float32)), "weights holds NaN"),
    ],
)
def test_errors_name_the_argument(call, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()


@settings(deadline=None)
@given(images())
def test_frequencies_that_mirror_onto_themselves_are_real(pixels: NDArray[np.float32]) -> None:
    """So their phase is 0 or pi in every library, never -pi."""
    height, width = pixels.shape[-2:]
    half = kernels.spectrum(pixels)
    for row in {0, -(-height // 2) % height if height % 2 == 0 else 0}:
        for column in {0, width // 2 if width % 2 == 0 else 0}:
            assert not half[..., row, column].imag.any()
            assert np.isin(kernels.phase(half)[..., row, column], np.float32([0, np.pi])).all()
