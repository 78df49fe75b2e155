"""Band purification with a gradient: the kernel's images, from masks whose edges can be moved by a loss.

With hard masks nothing of the classification loss reaches the proposers, as in the published code. Here masks
are straight-through: their values are the kernel's, their gradient is that of sigmoid edges. So what is
trained is what is served.
"""

import torch
from torch import Tensor

EDGE = 2.0
"""Width of a soft edge, in cells of the spectrum."""


def purify(
    spectrum: Tensor, amplitude_bands: Tensor, phase_bands: Tensor, irrelevant: bool = False
) -> Tensor:
    """What `assay.kernels.purify` computes, for images of even width, with a gradient to the bands.

    spectrum: (B, C, H, V) complex64; bands: (B, C, K, 4) float32 -> (B, K, C, H, W) float32, W = 2 (V - 1).
    Equation 4, with cosine as the real part and sine as the imaginary one; in print they are swapped, which
    gives images that have nothing in common with the input.
    """
    height, columns = spectrum.shape[-2:]
    masks = [mask(bands, height, columns).transpose(1, 2) for bands in (amplitude_bands, phase_bands)]
    amplitude_mask, phase_mask = (1 - one for one in masks) if irrelevant else masks
    amplitude = spectrum.abs().unsqueeze(1) * amplitude_mask
    phase = spectrum.angle().unsqueeze(1) * phase_mask
    images: Tensor = torch.fft.irfft2(torch.polar(amplitude, phase), s=(height, 2 * (columns - 1)))
    return images


def mask(bands: Tensor, height: int, columns: int) -> Tensor:
    """(..., 4) row start, row end, column start, column end -> straight-through crosses (..., H, V)."""
    rows = _band(bands[..., :2], height).unsqueeze(-1)
    cols = _band(bands[..., 2:], columns).unsqueeze(-2)
    return rows + cols - rows * cols


def _band(ends: Tensor, length: int) -> Tensor:
    """(..., 2) start and end -> (..., length): the kernel's 0 and 1, the gradient of two sigmoid edges."""
    cell = torch.arange(length, device=ends.device)
    start, end = (ends * length).unsqueeze(-1).unbind(-2)
    soft = torch.sigmoid((cell + 0.5 - start) / EDGE) * torch.sigmoid((end - cell - 0.5) / EDGE)
    with torch.no_grad():
        valid = ends[..., 1:] > ends[..., :1]
        index = torch.where(valid, ends * length, 0).floor().clamp(0, length - 1)
        hard = ((cell >= index[..., :1]) & (cell <= index[..., 1:])).to(soft.dtype)
    return hard + (soft - soft.detach())
