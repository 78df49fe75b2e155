"""Kernels in torch, for devices that hold torch's tensors but have no arrays of NumPy's or CuPy's kind.

Each takes what its kernel takes, tensors in the place of arrays, and gives what it gives, without a gradient.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from assay import kernels
from assay.engine.detectors.lnp.detector import Parameters
from assay.engine.detectors.lnp.detector import spectra as lnp_spectra
from assay.trainers.kinds.apn import purification


def spectrum(images: Tensor) -> Tensor:
    half: Tensor = torch.fft.rfft2(images)
    height, width = images.shape[-2:]
    for row in {0, height // 2} if height % 2 == 0 else {0}:
        for column in {0, width // 2} if width % 2 == 0 else {0}:
            half[..., row, column] = half[..., row, column].real + 0j  # see `kernels.spectrum`
    return half


def purify(
    spectrum: Tensor, amplitude: Tensor, phase: Tensor, size: tuple[int, int], irrelevant: bool = False
) -> Tensor:
    return purification.purify(spectrum, amplitude, phase, irrelevant)


def crop_resize(
    images: Sequence[Tensor],
    boxes: Tensor,
    size: int,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Tensor:
    shift, scale = (boxes.new_tensor(three, dtype=torch.float32).view(3, 1, 1) for three in (mean, std))
    crops = []
    for pixels, cuts in zip(images, boxes.tolist(), strict=True):
        image = pixels.permute(2, 0, 1) if pixels.dtype == torch.uint8 else pixels
        for top, left, bottom, right in cuts:
            cut = image[:, top:bottom, left:right].float()
            if cut.shape[1:] != (size, size):
                cut = functional.interpolate(cut[None], (size, size), mode="bilinear", align_corners=True)[0]
            crops.append(((cut / 255 if pixels.dtype == torch.uint8 else cut) - shift) / scale)
    return torch.stack(crops)


def spectra(pattern: Tensor, parameters: Parameters) -> Tensor:
    whole = torch.fft.fft2(pattern, norm="ortho" if parameters.norm == "ortho" else "forward")
    known = pattern.shape[-1] // 2 + 1
    # Of frequencies that mirror onto themselves rounding would decide the sign of the phase.
    phase = torch.cat([spectrum(pattern).angle(), whole[..., known:].angle()], dim=-1)
    amplitude = whole.abs()
    if parameters.amplitude != "linear":
        above_zero = amplitude + parameters.epsilon
        amplitude = above_zero.log() if parameters.amplitude == "log" else above_zero**parameters.exponent
    if parameters.grey is not None:
        weights = pattern.new_tensor(parameters.grey).view(3, 1, 1)
        amplitude, phase = ((each * weights).sum(dim=1, keepdim=True) for each in (amplitude, phase))
    both = torch.cat([amplitude, phase], dim=1)
    return torch.fft.fftshift(both, dim=(2, 3)) if parameters.centred else both


FORMS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    kernels.spectrum: spectrum,
    kernels.amplitude: torch.abs,
    kernels.phase: torch.angle,
    kernels.purify: purify,
    kernels.crop_resize: crop_resize,
    lnp_spectra: spectra,
}
"""By kernel. Others, whose arguments are a few numbers, run on the host."""
