"""The noise-pattern detector run as its published code runs it: one image at a time, in eager torch.

The peer that the engine is measured against; but for the weights, nothing of the chain is shared with it.
A first program denoises and stores the pattern as a PNG of 8 bits, a second one reads it, transforms it whole
and classifies it. Here the PNG stays in memory, and the image is cut first to the size that both look at.
"""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop, normalize, to_tensor

from assay.engine.detectors import Stopwatch
from assay.trainers.kinds.lnp.denoiser.network import Denoiser
from assay.trainers.kinds.lnp.network import LNP

GREY = (0.11, 0.59, 0.30)


@torch.inference_mode()
def score(denoiser: Denoiser, classifier: LNP, size: int, file: Path, watch: Stopwatch) -> float:
    """The logit of an image file, of which the `size` pixels in the middle are looked at."""
    with watch.stage("decode"), Image.open(file) as image:
        photo = image.convert("RGB")
    with watch.stage("view"):
        view = to_tensor(center_crop(photo, [size, size])).unsqueeze(0)
    with watch.stage("denoise"):
        pattern = read(stored(denoiser(view)))
    with watch.stage("spectra"):
        planes = torch.cat([pattern, spectra(pattern)], dim=1)
    with watch.stage("classify"):
        return float(classifier.network(classifier.normalise(planes)))


def stored(pattern: Tensor) -> bytes:
    """(1, 3, H, W) -> a PNG: clamped, in 8 bits, multiplied by 255 in 8 bits, red and blue exchanged."""
    values = pattern[0].clamp(0, 1).permute(1, 2, 0).numpy()
    levels: NDArray[np.uint8] = np.rint(values * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray((levels * np.uint8(255))[..., ::-1].copy()).save(file, "PNG")
    return file.getvalue()


def read(png: bytes) -> Tensor:
    """A stored pattern -> (1, 3, H, W), normalised as ImageNet's photographs are."""
    with Image.open(io.BytesIO(png)) as image:
        shown: Tensor = to_tensor(image.convert("RGB"))
    found: Tensor = normalize(shown, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return found.unsqueeze(0)


def spectra(pattern: Tensor) -> Tensor:
    """Grey amplitude and phase (1, 2, H, W) of whole transforms, frequency 0 in the middle."""
    transform = torch.fft.fftshift(torch.fft.fftn(pattern, dim=(2, 3), norm="ortho"), dim=(2, 3))
    amplitude = (transform.abs() + 1e-8) ** 0.8
    phase = torch.atan2(transform.imag + 1e-8, transform.real + 1e-8)
    weights = torch.tensor(GREY).view(1, 3, 1, 1)
    return torch.cat([(weights * values).sum(dim=1, keepdim=True) for values in (amplitude, phase)], dim=1)
