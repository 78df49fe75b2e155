"""Band purification: the images that remain of suspicious frequency bands.

Artifact Purification Network, section 3.2.1, equations 1 to 4 (with cosine as the real part and sine as the
imaginary one; in print they are swapped). Each of K proposals keeps a cross of the amplitude, a band of rows
together with a band of columns, and another cross of the phase. As masks are 0 or 1 no angle is computed:
inside both crosses the coefficient stays, inside the amplitude's alone it becomes its modulus (phase 0), and
outside the amplitude's it becomes 0.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from assay.kernels.arrays import Array, cupy, expect, on_gpu, refuse_nan
from assay.kernels.launch import launch
from assay.kernels.spectra import expect_width, fft_library

# On a CPU a cross of this many rows and columns together costs as much as outer products as it does as a
# transform. Both grow with the area of the image, so the figure hardly depends on its size (bench/purify.py).
THIN = 56
BLOCK = 256  # threads; a block works within one plane


def purify(
    spectrum: Array,
    amplitude_bands: Array,
    phase_bands: Array,
    size: tuple[int, int],
    irrelevant: bool = False,
) -> Array:
    """Keep K pairs of crosses of each spectrum and transform them back.

    spectrum: (B, C, H, W//2+1) complex64, the half spectra of real images.
    amplitude_bands, phase_bands: (B, C, K, 4) float32: row start, row end, column start, column end as the
        network predicts them, fractions of the axis. An index is floor(fraction * length), in float32,
        clamped to the axis; both ends are kept. Rows count over all H, columns over the W//2+1 of the half
        spectrum. On an axis where end <= start the band is index 0.
    size: (H, W) of the images.
    irrelevant: keep what the crosses leave out instead, of the amplitude and of the phase.

    Returns (B, K, C, H, W) float32. Raises ValueError naming the argument for another shape or dtype, for
    arrays on different devices, or for NaN on the host. On a GPU a band with NaN is index 0.
    """
    gpu = on_gpu(spectrum=spectrum, amplitude_bands=amplitude_bands, phase_bands=phase_bands)
    expect("spectrum", spectrum, "B C H V", np.complex64)
    batch, channels, height, columns = spectrum.shape
    expect("amplitude_bands", amplitude_bands, f"{batch} {channels} K 4", np.float32)
    expect("phase_bands", phase_bands, f"{batch} {channels} {amplitude_bands.shape[2]} 4", np.float32)
    if np.shape(size) != (2,) or size[0] != height:
        raise ValueError(f"size must be ({height}, W) for a spectrum of {height} rows, not {size!r}")
    expect_width("size[1]", size[1], columns)
    refuse_nan("spectrum", spectrum)
    refuse_nan("amplitude_bands", amplitude_bands)
    refuse_nan("phase_bands", phase_bands)
    form = _on_gpu if gpu else _on_cpu
    return form(spectrum, amplitude_bands, phase_bands, size[1], irrelevant)


def _on_gpu(spectrum: Array, amplitude: Array, phase: Array, width: int, irrelevant: bool) -> Array:
    """One read of the spectrum, K writes, one batched inverse transform."""
    copies = masked_on_gpu(spectrum, amplitude, phase, width, irrelevant)
    # norm="forward" leaves the inverse unscaled: the masked copies already are scaled, which saves a pass.
    images: Array = fft_library(True).irfft2(
        copies, (spectrum.shape[2], width), norm="forward", overwrite_x=True
    )
    return images


def masked_on_gpu(spectrum: Array, amplitude: Array, phase: Array, width: int, irrelevant: bool) -> Array:
    """(B, K, C, H, V) masked spectra, Hermitian where they are their own mirror and divided by H W."""
    cp = cupy()
    batch, channels, height, columns = spectrum.shape
    planes, count = batch * channels, amplitude.shape[2]
    axes = np.int32(height), np.int32(columns)
    crosses = cp.empty((2, planes, count, 4), np.int32)
    for bands, cross in zip((amplitude, phase), crosses, strict=True):
        source, total = cp.ascontiguousarray(bands), planes * count
        launch("purify", "band_indices", total, source, cross, np.int32(total), *axes)
    copies: Array = cp.empty((batch, count, channels, height, columns), np.complex64)
    blocks = -(-height * columns // BLOCK)
    launch(
        "purify",
        "masked_spectra",
        planes * blocks * BLOCK,
        cp.ascontiguousarray(spectrum),
        *crosses,
        copies,
        np.int32(blocks),
        np.int32(channels),
        np.int32(count),
        *axes,
        np.int32(width % 2 == 0),
        np.int32(irrelevant),
        np.float32(1 / (height * width)),
        block=BLOCK,
    )
    return copies


def _on_cpu(spectrum: Array, amplitude: Array, phase: Array, width: int, irrelevant: bool) -> Array:
    """Plane by plane, so that a masked spectrum stays in the cache between its passes."""
    batch, channels, height, columns = spectrum.shape
    modulus = np.abs(spectrum).astype(np.complex64)
    kept, turned = (band_indices(bands, height, columns).tolist() for bands in (amplitude, phase))
    images = np.empty((batch, amplitude.shape[2], channels, height, width), np.float32)
    for b, k, c in np.ndindex(images.shape[:3]):
        plane = spectrum[b, c], modulus[b, c], kept[b][c][k], turned[b][c][k]
        if irrelevant or _extent(kept[b][c][k]) > THIN:
            images[b, k, c] = _transformed(*plane, width=width, irrelevant=irrelevant)
        else:
            _outer_products(*plane, image=images[b, k, c])
    return images


def band_indices(bands: Array, height: int, columns: int) -> Array:
    """What bands hold, on the host: (..., 4) float32 fractions as `purify` takes them -> (..., 4) int32 first
    and last row, first and last column."""
    length = np.array((height, height, columns, columns), np.float32)
    valid = np.repeat(bands[..., 1::2] > bands[..., ::2], 2, axis=-1)
    indices: Array = np.clip(np.floor(np.where(valid, bands, 0) * length), 0, length - 1).astype(np.int32)
    return indices


def _extent(cross: Sequence[int]) -> int:
    """How many rows and columns a cross has, together."""
    return cross[1] - cross[0] + 1 + cross[3] - cross[2] + 1


def _sides(cross: Sequence[int], height: int, columns: int) -> tuple[Array, Array]:
    """Which rows (a column vector) and which columns a cross holds; their union is its mask."""
    row, column = np.arange(height)[:, None], np.arange(columns)
    return (row >= cross[0]) & (row <= cross[1]), (column >= cross[2]) & (column <= cross[3])


def _transformed(
    plane: Array, modulus: Array, kept: Sequence[int], turned: Sequence[int], *, width: int, irrelevant: bool
) -> Array:
    """The masked plane's inverse transform, which ignores what is not Hermitian in columns 0 and W/2."""
    height, columns = plane.shape
    amplitude, phase = (
        np.logical_or(*_sides(cross, height, columns)) ^ irrelevant for cross in (kept, turned)
    )
    masked = np.zeros_like(plane)
    np.copyto(masked, modulus, where=amplitude)
    np.copyto(masked, plane, where=amplitude & phase)
    image: Array = fft_library(gpu=False).irfft2(masked, (height, width), overwrite_x=True)
    return image


def _outer_products(
    plane: Array, modulus: Array, kept: Sequence[int], turned: Sequence[int], *, image: Array
) -> None:
    """The same image without a two-dimensional transform, written to `image`; for what the crosses hold.

    Row u of a spectrum contributes Re(wave_u(y) row_u(x)), row_u being its one-dimensional inverse transform,
    and column v contributes Re(column_v(y) wave_v(x)). So n rows and m columns are one product of real
    matrices, of rank 2 (n + m).
    """
    (height, columns), width = plane.shape, image.shape[1]
    rows, cols = slice(kept[0], kept[1] + 1), slice(kept[2], kept[3] + 1)
    turned_rows, turned_cols = _sides(turned, height, columns)
    weight = _weight(height, width)
    row = np.where(turned_rows[rows] | turned_cols, plane[rows], modulus[rows]) * weight
    column = np.where(turned_rows | turned_cols[cols], plane[:, cols], modulus[:, cols]) * weight[cols]
    column[rows] = 0  # the crossing belongs to the rows
    ifft = fft_library(gpu=False).ifft
    left = np.concatenate((_waves(height)[rows], _conjugate(ifft(column.T, norm="forward"))))
    right = np.concatenate((_conjugate(ifft(row, width, norm="forward")), _waves(width)[cols]))
    np.matmul(left.reshape(-1, height).T, right.reshape(-1, width), out=image)


def _conjugate(rows: Array) -> Array:
    """(n, L) complex64 -> (n, 2, L) float32, so that pairs multiply and add up to Re(wave * row)."""
    parts = np.empty((len(rows), 2, rows.shape[1]), np.float32)
    parts[:, 0] = rows.real
    np.negative(rows.imag, out=parts[:, 1])
    return parts


@lru_cache(maxsize=2)  # the height's and the width's; a network's view has one size
def _waves(length: int) -> Array:
    """exp(2 pi i u n / length) as (u, 2, n) float32, real and imaginary parts."""
    n = np.arange(length)
    turns = np.outer(n, n) % length
    angle = 2 * np.pi / length * n
    waves: Array = np.stack((np.cos(angle)[turns], np.sin(angle)[turns]), axis=1).astype(np.float32)
    return waves


@lru_cache(maxsize=16)
def _weight(height: int, width: int) -> Array:
    """1 / (H W) per column, doubled where a column stands for the frequency -v as well."""
    weight = np.full(width // 2 + 1, 2 / (height * width), np.float32)
    weight[0] /= 2
    if width % 2 == 0:
        weight[-1] /= 2
    return weight
