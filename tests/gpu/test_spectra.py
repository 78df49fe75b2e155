"""Spectra and band purification on a GPU against the CPU forms, whose oracle is the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from support.gpu import assert_asynchronous
from support.spectra_cases import Case, bands, cases

from assay import kernels

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
RELATIVE = 1e-5


def close(found: "cupy.ndarray", expected: np.ndarray, scale: float) -> None:
    assert isinstance(found, cupy.ndarray)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.get(), expected, rtol=0, atol=RELATIVE * scale)


@settings(max_examples=50)
@given(case=cases(40))
def test_spectra_agree(case: Case) -> None:
    images = cupy.asarray(case.images)
    half, expected = kernels.spectrum(images), kernels.spectrum(case.images)
    scale = float(np.abs(expected).max())
    close(half, expected, scale)
    amplitude = kernels.amplitude(half)
    close(amplitude, kernels.amplitude(expected), scale)
    angle = kernels.phase(cupy.asarray(expected)).get().astype(np.float64)
    apart = np.abs(expected) * np.abs(np.exp(1j * angle) - np.exp(1j * np.angle(expected)))
    assert apart.max() <= RELATIVE * scale
    for odd in (False, True):
        whole = kernels.full(amplitude, case.size[1], odd)
        np.testing.assert_array_equal(whole.get(), kernels.full(amplitude.get(), case.size[1], odd))
    weights = np.linspace(-1, 1, case.images.shape[1], dtype=np.float32)
    close(kernels.grey(images, cupy.asarray(weights)), kernels.grey(case.images, weights), 1.0)


@pytest.mark.parametrize("irrelevant", [False, True])
@settings(max_examples=50)
@given(case=cases(40))
def test_purify_agrees(irrelevant: bool, case: Case) -> None:
    half = kernels.spectrum(case.images)
    expected = kernels.purify(half, case.amplitude, case.phase, case.size, irrelevant)
    found = kernels.purify(*map(cupy.asarray, (half, case.amplitude, case.phase)), case.size, irrelevant)
    floor = 1e-3 * float(np.abs(half).max()) / (case.size[0] * case.size[1])
    close(found, expected, max(float(np.abs(expected).max()), floor))


@pytest.mark.parametrize("size", [(224, 224), (225, 223)])
def test_purify_agrees_at_full_size_and_leaves_its_input_alone(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    half = kernels.spectrum(rng.random((4, 3, *size), dtype=np.float32))
    amplitude, phase = (bands(rng, (4, 3, 15), *size, 0.5) for _ in range(2))
    on_gpu = [cupy.asarray(array) for array in (half, amplitude, phase)]
    expected = kernels.purify(half, amplitude, phase, size)
    close(kernels.purify(*on_gpu, size), expected, float(np.abs(expected).max()))
    for array, before in zip(on_gpu, (half, amplitude, phase), strict=True):
        np.testing.assert_array_equal(array.get(), before)


def test_calls_are_asynchronous() -> None:
    rng = np.random.default_rng(1)
    images = cupy.asarray(rng.random((4, 3, 224, 224), dtype=np.float32))
    half = kernels.spectrum(images)
    amplitude, phase = (cupy.asarray(bands(rng, (4, 3, 15), 224, 224, 0.0)) for _ in range(2))
    weights = cupy.asarray(np.full(3, 1 / 3, np.float32))
    assert_asynchronous(lambda: kernels.purify(half, amplitude, phase, (224, 224)))
    assert_asynchronous(lambda: kernels.spectrum(images))
    assert_asynchronous(lambda: kernels.full(kernels.phase(half), 224, odd=True))
    assert_asynchronous(lambda: kernels.grey(kernels.full(kernels.amplitude(half), 224), weights))


def test_mixed_devices_are_refused() -> None:
    half = np.zeros((1, 3, 8, 5), np.complex64)
    fractions = np.zeros((1, 3, 2, 4), np.float32)
    with pytest.raises(ValueError, match="amplitude_bands"):
        kernels.purify(half, cupy.asarray(fractions), fractions, (8, 8))
