"""Band purification: the CPU forms and the CUDA source against the definition, and what cuFFT relies on."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.cuda_host import host_kernels
from support.spectra_cases import Case, bands, cases, prior_bands
from support.spectra_oracle import cross, masked, purified

from assay import kernels
from assay.kernels import purification

RELATIVE = 1e-5
WHOLE = np.array([0, 2, 0, 2], np.float32)
FIRST = np.array([0.5, 0.5, 0.5, 0.2], np.float32)  # invalid on both axes: row 0 and column 0


def forced(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(purification, "THIN", {"transform": 0, "outer products": 10**9}[form])


def agree(found: NDArray[np.float32], expected: NDArray[np.float64], spectrum: NDArray[np.complex64]) -> None:
    """To 1e-5 of the largest value that the image could hold, its mean modulus."""
    size = found.shape[-1] * found.shape[-2]
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    scale = max(float(np.abs(expected).max()), 1e-3 * float(np.abs(spectrum).max()) / size)
    np.testing.assert_allclose(found, expected, rtol=0, atol=RELATIVE * scale)


def any_half(case: Case) -> NDArray[np.complex64]:
    """Coefficients that are no real image's: columns 0 and W/2 are not Hermitian."""
    shape = (*case.images.shape[:3], case.size[1] // 2 + 1)
    real, imaginary = np.random.default_rng(11).normal(size=(2, *shape)).astype(np.float32)
    return real + 1j * imaginary


def trusting_inverse(half: NDArray[np.complex64], width: int) -> NDArray[np.complex128]:
    """An unscaled inverse that relies on full Hermitian symmetry, as cuFFT does: of each pair F(u), F(-u) it
    reads one and takes the other to be its conjugate, in the columns that are their own mirror too.
    """
    height, columns = half.shape[-2:]
    spectrum = np.zeros((*half.shape[:-1], width), np.complex128)
    spectrum[..., :columns] = half
    for u in range(height):
        for v in range(width):
            if v >= columns or (-v % width == v and u > height // 2):
                spectrum[..., u, v] = spectrum[..., -u % height, -v % width].conj()
    return np.fft.ifft2(spectrum, norm="forward")


@pytest.mark.parametrize("form", ["transform", "outer products"])
@pytest.mark.parametrize("irrelevant", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_cpu_form_follows_the_definition(
    monkeypatch: pytest.MonkeyPatch, form: str, irrelevant: bool, case: Case
) -> None:
    forced(monkeypatch, form)
    spectrum = kernels.spectrum(case.images)
    found = kernels.purify(spectrum, case.amplitude, case.phase, case.size, irrelevant)
    agree(found, purified(spectrum, case.amplitude, case.phase, case.size[1], irrelevant), spectrum)


@pytest.mark.parametrize("form", ["transform", "outer products"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_any_half_spectrum_is_taken(monkeypatch: pytest.MonkeyPatch, form: str, case: Case) -> None:
    """Also one whose columns 0 and W/2 are not Hermitian before they are masked."""
    forced(monkeypatch, form)
    spectrum = any_half(case)
    found = kernels.purify(spectrum, case.amplitude, case.phase, case.size)
    agree(found, purified(spectrum, case.amplitude, case.phase, case.size[1]), spectrum)


class TrustingTransform:
    """Stands where cuFFT stands on a GPU, and keeps what it was given."""

    copies: NDArray[np.complex64]

    def irfft2(
        self, copies: NDArray[np.complex64], size: tuple[int, int], *, norm: str, overwrite_x: bool
    ) -> NDArray[np.float32]:
        assert norm == "forward"
        assert overwrite_x
        assert copies.shape[-2] == size[0]
        self.copies = copies
        return trusting_inverse(copies, size[1]).real.astype(np.float32)


def poisoned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[np.generic]:
    """Fresh memory that shows what is never written."""
    return np.full(shape, np.nan if issubclass(dtype, np.inexact) else -1, dtype)


@pytest.fixture
def transform(monkeypatch: pytest.MonkeyPatch) -> TrustingTransform:
    """Has the CUDA form run on the host: NumPy for CuPy, purify.cu by g++."""
    trusting = TrustingTransform()
    stand_in = SimpleNamespace(empty=poisoned, ascontiguousarray=np.ascontiguousarray)
    monkeypatch.setattr(purification, "cupy", lambda: stand_in)
    monkeypatch.setattr(purification, "fft_library", lambda gpu: trusting if gpu else scipy.fft)
    monkeypatch.setattr(
        purification, "launch", lambda file, *rest, **kw: host_kernels(file).launch(*rest, **kw)
    )
    return trusting


@pytest.mark.parametrize("block", [32, 256])
@pytest.mark.parametrize("irrelevant", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), of_image=st.booleans())
def test_cuda_form_follows_the_definition(
    monkeypatch: pytest.MonkeyPatch,
    transform: TrustingTransform,
    block: int,
    irrelevant: bool,
    case: Case,
    of_image: bool,
) -> None:
    """And makes the columns Hermitian: a transform that relies on it gives the CPU form's image."""
    monkeypatch.setattr(purification, "BLOCK", block)
    spectrum = kernels.spectrum(case.images) if of_image else any_half(case)
    height, width = case.size
    found = purification._on_gpu(spectrum, case.amplitude, case.phase, width, irrelevant)
    on_cpu = kernels.purify(spectrum, case.amplitude, case.phase, case.size, irrelevant)
    agree(found, on_cpu.astype(np.float64), spectrum)
    # Scaled already, and equal to the definition wherever that leaves no choice.
    inner = slice(1, (width - 1) // 2 + 1)
    expected = masked(spectrum, case.amplitude, case.phase, irrelevant)[..., inner] / (height * width)
    tolerance = 1e-6 * np.abs(spectrum).max() / (height * width)
    np.testing.assert_allclose(transform.copies[..., inner], expected, rtol=0, atol=tolerance)


def test_without_the_hermitian_columns_such_a_transform_goes_wrong() -> None:
    """The check above can fail: on an image of 32x32 the plain masks are off by far more than rounding."""
    rng = np.random.default_rng(7)
    case = Case(
        rng.random((1, 3, 32, 32), dtype=np.float32), *(bands(rng, (1, 3, 4), 32, 32, 0.0) for _ in range(2))
    )
    spectrum = kernels.spectrum(case.images)
    plain = masked(spectrum, case.amplitude, case.phase, irrelevant=False) / 32**2
    found = trusting_inverse(plain, 32).real
    expected = purified(spectrum, case.amplitude, case.phase, 32)
    assert np.abs(found - expected).max() > 0.01 * np.abs(expected).max()


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.lists(st.floats(-1, 2, width=32), min_size=4, max_size=4),
)
@example(224, 113, [41 / 224, 82 / 224, 29 / 113, 58 / 113])  # floor() differs in float64
@example(224, 113, [0.3, 0.3, 0.4, 0.2])  # end <= start
@example(224, 113, [1.2, 1.7, 1.0, 1.01])  # both above 1: the last index alone
def test_indices_are_equal_in_every_form(height: int, columns: int, ends: list[float]) -> None:
    band = np.array([ends], np.float32)
    found = purification.band_indices(band, height, columns)
    assert found.dtype == np.int32
    on_host = np.full((1, 4), -1, np.int32)
    host_kernels("purify").launch(
        "band_indices", 1, band, on_host, np.int32(1), np.int32(height), np.int32(columns)
    )
    np.testing.assert_array_equal(on_host, found)
    mask = np.zeros((height, columns), bool)
    mask[found[0, 0] : found[0, 1] + 1] = True
    mask[:, found[0, 2] : found[0, 3] + 1] = True
    np.testing.assert_array_equal(mask, cross(band[0], height, columns))


def test_float32_decides_the_index() -> None:
    """There are fractions whose index differs in float64, so the arithmetic above is put to the test."""
    i = np.arange(224, dtype=np.float32)
    value = i / np.float32(224)
    assert (np.floor(value * np.float32(224)) != np.floor(value.astype(np.float64) * 224)).any()


def test_nan_and_infinite_ends_on_a_gpu_are_indices_of_the_axis() -> None:
    nan, inf = np.float32(np.nan), np.float32(np.inf)
    band = np.array([[nan, 0.5, 0.2, nan], [-inf, inf, 0.5, inf]], np.float32)
    crosses = np.full((2, 4), -1, np.int32)
    host_kernels("purify").launch("band_indices", 2, band, crosses, np.int32(2), np.int32(10), np.int32(6))
    np.testing.assert_array_equal(crosses, [[0, 0, 0, 0], [0, 9, 3, 5]])


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5), (6, 1), (40, 41)])
@pytest.mark.parametrize("irrelevant", [False, True])
def test_whole_crosses_give_the_image_and_nothing(size: tuple[int, int], irrelevant: bool) -> None:
    pixels = np.random.default_rng(0).random((2, 3, *size), dtype=np.float32)
    whole = np.broadcast_to(WHOLE, (2, 3, 2, 4))
    found = kernels.purify(kernels.spectrum(pixels), whole, whole, size, irrelevant)
    expected = np.zeros_like(pixels) if irrelevant else pixels
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 2, axis=1), atol=1e-6)


def test_same_crosses_split_an_image_in_two() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.random((2, 3, 33, 30), dtype=np.float32)
    same = bands(rng, (2, 3, 5), 33, 30, 0.3)
    spectrum = kernels.spectrum(pixels)
    parts = [kernels.purify(spectrum, same, same, (33, 30), irrelevant) for irrelevant in (False, True)]
    np.testing.assert_allclose(sum(parts), np.repeat(pixels[:, None], 5, axis=1), atol=1e-5)


def test_invalid_bands_keep_the_first_row_and_column() -> None:
    """Of a 224x224 image that is 336 of 25,312 cells, as the published code does."""
    assert cross(FIRST, 224, 113).sum() == 336
    pixels = np.random.default_rng(2).random((1, 1, 224, 224), dtype=np.float32)
    first = np.broadcast_to(FIRST, (1, 1, 1, 4))
    spectrum = kernels.spectrum(pixels)
    kept = spectrum.copy()
    kept[..., 1:, 1:] = 0
    found = kernels.purify(spectrum, first, first, (224, 224))
    np.testing.assert_allclose(found[0, 0], scipy.fft.irfft2(kept[0], (224, 224)), atol=1e-6)


def test_full_size_forms_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the network's own size, with the bands it starts with, on more than one thread."""
    rng = np.random.default_rng(3)
    pixels = rng.random((1, 3, 224, 224), dtype=np.float32)
    amplitude, phase = (prior_bands(rng, (1, 3, 15), 0.3) for _ in range(2))
    spectrum = kernels.spectrum(pixels)
    expected = scipy.fft.irfft2(masked(spectrum, amplitude, phase, False), (224, 224))
    agree(kernels.purify(spectrum, amplitude, phase, (224, 224)), expected, spectrum)
    for form in ("transform", "outer products"):
        forced(monkeypatch, form)
        with scipy.fft.set_workers(2):
            agree(kernels.purify(spectrum, amplitude, phase, (224, 224)), expected, spectrum)


def test_strided_and_read_only_arrays_are_taken_and_left_alone() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.random((2, 3, 9, 10), dtype=np.float32)
    amplitude, phase = (bands(rng, (2, 3, 4), 9, 10, 0.3) for _ in range(2))
    spectrum = kernels.spectrum(pixels)
    expected = kernels.purify(spectrum, amplitude, phase, (9, 10))
    reversed_rows = spectrum[:, :, ::-1].copy()[:, :, ::-1]
    arrays = reversed_rows, amplitude[:, :, ::-1].copy()[:, :, ::-1], np.asfortranarray(phase)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    np.testing.assert_allclose(kernels.purify(*arrays, (9, 10)), expected, atol=1e-6)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


SPECTRUM = np.zeros((2, 3, 8, 5), np.complex64)
BANDS = np.zeros((2, 3, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SPECTRUM[0], BANDS, BANDS, (8, 8)), "spectrum must be"),
        ((SPECTRUM.astype(np.complex128), BANDS, BANDS, (8, 8)), "spectrum must be"),
        ((SPECTRUM.tolist(), BANDS, BANDS, (8, 8)), "spectrum"),
        ((SPECTRUM, BANDS[:1], BANDS, (8, 8)), "amplitude_bands must be"),
        ((SPECTRUM, BANDS.astype(np.float64), BANDS, (8, 8)), "amplitude_bands must be"),
        ((SPECTRUM, BANDS, BANDS[:, :, :2], (8, 8)), "phase_bands must be"),
        ((SPECTRUM, BANDS, BANDS[..., :3], (8, 8)), "phase_bands must be"),
        ((SPECTRUM, BANDS[:, :, :0], BANDS[:, :, :0], (8, 8)), "amplitude_bands must be"),
        ((SPECTRUM, BANDS, BANDS, (7, 8)), "size must be"),
        ((SPECTRUM, BANDS, BANDS, (8,)), "size must be"),
        ((SPECTRUM, BANDS, BANDS, 8), "size must be"),
        ((SPECTRUM, BANDS, BANDS, (8, 7)), r"size\[1\] must be 8 or 9"),
        ((SPECTRUM * np.nan, BANDS, BANDS, (8, 8)), "spectrum holds NaN"),
        ((SPECTRUM, BANDS * np.nan, BANDS, (8, 8)), "amplitude_bands holds NaN"),
        ((SPECTRUM, BANDS, BANDS * np.nan, (8, 8)), "phase_bands holds NaN"),
    ],
)
def test_errors_name_the_argument(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.purify(*arguments)
