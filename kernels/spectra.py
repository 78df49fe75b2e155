"""Spectra of images: the half that determines a real image's Fourier transform, and what is read from it.

The two-dimensional transform of a real image satisfies F(-u, -v) = conj F(u, v), so the columns 0..W//2 hold
all of it. Frequencies stand in the transform's own order, the constant term first; nothing is scaled, centred
or compressed. On a CPU scipy.fft transforms on one thread, or as many as `scipy.fft.set_workers` grants; on a
GPU cuFFT, with the plans that CuPy keeps per thread.
"""

from importlib import import_module
from typing import Any

import numpy as np

from assay.kernels.arrays import Array, cupy, expect, on_gpu, refuse_nan


def spectrum(images: Array) -> Array:
    """The half spectrum of each plane.

    images: (B, C, H, W) float32 -> (B, C, H, W//2+1) complex64, rows being all H frequencies along y and
    columns those from 0 up along x. Raises ValueError for another shape or dtype, or for NaN on the host.
    """
    gpu = on_gpu(images=images)
    expect("images", images, "B C H W", np.float32)
    refuse_nan("images", images)
    half: Array = fft_library(gpu).rfft2(images)
    # Frequencies that mirror onto themselves have real coefficients. Rounding leaves a trace of an imaginary
    # part whose sign differs between libraries, and with it the phase: pi or -pi.
    height, width = images.shape[-2:]
    for row in {0, height // 2} if height % 2 == 0 else {0}:
        for column in {0, width // 2} if width % 2 == 0 else {0}:
            half.imag[..., row, column] = 0.0
    return half


def amplitude(spectrum: Array) -> Array:
    """The modulus of each coefficient: (B, C, H, V) complex64 -> float32. Raises ValueError."""
    gpu = _coefficients(spectrum)
    modulus: Array = (cupy() if gpu else np).abs(spectrum)
    return modulus


def phase(spectrum: Array) -> Array:
    """The angle of each coefficient in radians: (B, C, H, V) complex64 -> float32. Raises ValueError."""
    gpu = _coefficients(spectrum)
    angle: Array = (cupy() if gpu else np).angle(spectrum)
    return angle


def full(half: Array, width: int, odd: bool = False) -> Array:
    """Fill in the other half of an amplitude, or with `odd` of a phase, from the frequencies -u.

    half: (B, C, H, width//2+1) float32 -> (B, C, H, width) float32. Of a real image the amplitude is even
    and the phase is odd. Raises ValueError for a width that `half` cannot belong to, and as above.
    """
    gpu = on_gpu(half=half)
    expect("half", half, "B C H V", np.float32)
    refuse_nan("half", half)
    known = half.shape[-1]
    expect_width("width", width, known)
    whole: Array = (cupy() if gpu else np).empty((*half.shape[:-1], width), np.float32)
    whole[..., :known] = half
    if known < width:
        mirrored = half[..., width - known : 0 : -1]
        whole[..., 0, known:] = mirrored[..., 0, :]
        whole[..., 1:, known:] = mirrored[..., :0:-1, :]
    if odd:
        whole[..., known:] *= -1
    return whole


def grey(images: Array, weights: Array) -> Array:
    """The weighted sum over channels: (B, C, H, W) and (C,), both float32 -> (B, H, W) float32.

    Raises ValueError for another shape or dtype, for arrays on different devices, or for NaN on the host.
    """
    on_gpu(images=images, weights=weights)
    expect("images", images, "B C H W", np.float32)
    expect("weights", weights, f"{images.shape[1]}", np.float32)
    refuse_nan("images", images)
    refuse_nan("weights", weights)
    batch, channels, height, width = images.shape
    return (weights @ images.reshape(batch, channels, height * width)).reshape(batch, height, width)


def expect_width(name: str, width: object, known: int) -> None:
    """Raise ValueError unless `width` is one of the two whose half spectrum has `known` columns."""
    if not isinstance(width, int | np.integer) or width < 1 or width // 2 + 1 != known:
        widths = " or ".join(str(choice) for choice in (2 * known - 2, 2 * known - 1) if choice > 0)
        raise ValueError(f"{name} must be {widths} for {known} columns of a half spectrum, not {width!r}")


def _coefficients(spectrum: Array) -> bool:
    gpu = on_gpu(spectrum=spectrum)
    expect("spectrum", spectrum, "B C H V", np.complex64)
    refuse_nan("spectrum", spectrum)
    return gpu


def fft_library(gpu: bool) -> Any:
    """cuFFT behind SciPy's interface, or SciPy's own transforms; loading them takes a quarter of a second."""
    return import_module("cupyx.scipy.fft" if gpu else "scipy.fft")
