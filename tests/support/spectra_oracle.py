"""Spectra and band purification written from their definitions: float64 sums, float32 index arithmetic.

No Fourier library: a transform is the sum over its waves.
"""

import numpy as np
from numpy.typing import NDArray


def waves(length: int, sign: int) -> NDArray[np.complex128]:
    """exp(sign 2 pi i u n / length), (length, length)."""
    n = np.arange(length)
    return np.exp(sign * 2j * np.pi / length * (np.outer(n, n) % length))


def transform(images: NDArray[np.float32]) -> NDArray[np.complex128]:
    """(..., H, W) -> the whole spectrum (..., H, W)."""
    height, width = images.shape[-2:]
    return waves(height, -1) @ images.astype(np.float64) @ waves(width, -1)


def whole(half: NDArray[np.complex128], width: int) -> NDArray[np.complex128]:
    """The whole spectrum of the real image that a half spectrum stands for: F(u) = conj F(-u).

    Where both are given, in column 0 and an even width's last, the two are averaged.
    """
    height, columns = half.shape[-2:]
    spectrum = np.zeros((*half.shape[:-1], width), np.complex128)
    given = np.zeros((height, width))
    for u in range(height):
        for v in range(columns):
            spectrum[..., u, v] += half[..., u, v]
            given[u, v] += 1
            spectrum[..., -u % height, -v % width] += half[..., u, v].conj()
            given[-u % height, -v % width] += 1
    assert (given >= 1).all()
    return spectrum / given


def inverse(half: NDArray[np.complex128], width: int) -> NDArray[np.float64]:
    """(..., H, width//2+1) -> the real image (..., H, width)."""
    height = half.shape[-2]
    images = waves(height, 1) @ whole(half, width) @ waves(width, 1) / (height * width)
    np.testing.assert_allclose(images.imag, 0, atol=1e-9 * max(1.0, float(np.abs(images).max())))
    return images.real


def index(value: np.float32, length: int) -> int:
    return int(np.clip(np.floor(np.float32(value) * np.float32(length)), 0, length - 1))


def cross(band: NDArray[np.float32], height: int, columns: int) -> NDArray[np.bool_]:
    """One band's mask (H, V): row start, row end, column start, column end; both ends kept."""
    row_start, row_end, column_start, column_end = band
    if not row_end > row_start:
        row_start = row_end = np.float32(0)
    if not column_end > column_start:
        column_start = column_end = np.float32(0)
    mask = np.zeros((height, columns), bool)
    mask[index(row_start, height) : index(row_end, height) + 1, :] = True
    mask[:, index(column_start, columns) : index(column_end, columns) + 1] = True
    return mask


def masked(
    spectrum: NDArray[np.complex64],
    amplitude_bands: NDArray[np.float32],
    phase_bands: NDArray[np.float32],
    irrelevant: bool,
) -> NDArray[np.complex128]:
    """(B, C, H, V) and (B, C, K, 4) -> (B, K, C, H, V), by amplitude and phase as the paper writes it."""
    batch, channels, height, columns = spectrum.shape
    count = amplitude_bands.shape[2]
    copies = np.empty((batch, count, channels, height, columns), np.complex128)
    for b, k, c in np.ndindex(batch, count, channels):
        amplitude_mask = cross(amplitude_bands[b, c, k], height, columns) ^ irrelevant
        phase_mask = cross(phase_bands[b, c, k], height, columns) ^ irrelevant
        amplitude = np.abs(spectrum[b, c].astype(np.complex128)) * amplitude_mask
        phase = np.angle(spectrum[b, c].astype(np.complex128)) * phase_mask
        copies[b, k, c] = amplitude * np.cos(phase) + 1j * amplitude * np.sin(phase)
    return copies


def purified(
    spectrum: NDArray[np.complex64],
    amplitude_bands: NDArray[np.float32],
    phase_bands: NDArray[np.float32],
    width: int,
    irrelevant: bool = False,
) -> NDArray[np.float64]:
    return inverse(masked(spectrum, amplitude_bands, phase_bands, irrelevant), width)
