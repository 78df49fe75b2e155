"""The purification network run as its published code runs it: one image at a time, in eager torch.

The peer that the engine is measured against; but for the weights, nothing of the chain is shared with it.
Pillow decodes, amplitude and phase are masked by full masks and put together by cosine and sine, every
proposal's rest is rebuilt, too, and read by a network of its own, as the published forward pass does whether
or not it trains.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from assay.engine.detectors import Stopwatch
from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.apn.spatial import along


@torch.inference_mode()
def score(network: APN, file: Path, watch: Stopwatch) -> float:
    """The log-odds of synthetic of an image file."""
    with watch.stage("decode"), Image.open(file) as image:
        photo = np.asarray(image.convert("RGB"))
    with watch.stage("view"):
        pixels = cut(photo[..., ::-1], network.size).transpose(2, 0, 1)
        view = torch.from_numpy(pixels.astype(np.float32) / 255).unsqueeze(0)
    with watch.stage("spectrum"):
        spectrum = torch.fft.rfft2(view)
        amplitude, phase = spectrum.abs(), spectrum.angle()
    branch = network.frequency
    with watch.stage("propose"):
        amplitude_bands, phase_bands = branch.amplitude(amplitude), branch.phase(phase)
    with watch.stage("purify"):
        masks = crosses(amplitude_bands, amplitude), crosses(phase_bands, phase)
        relevant = rebuilt(amplitude * masks[0], phase * masks[1])
        irrelevant = rebuilt(amplitude * (1 - masks[0]), phase * (1 - masks[1]))
    with watch.stage("classify"):
        feature, basis = network.spatial(view), network.spatial.basis
        frequency, _ = branch.weigh(relevant.unsqueeze(0))
        branch.rest(irrelevant.unsqueeze(0))
        along(feature, basis.irrelevant)
        logits = network.classify(along(feature, basis.relevant), frequency)
        return float(logits[0, 1] - logits[0, 0])


def cut(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The central square; an image with a side below `side` is repeated until it is large enough."""
    height, width = pixels.shape[:2]
    grow = max(1.0, side / min(height, width))
    tall, wide = int(np.ceil(height * grow)), int(np.ceil(width * grow))
    pixels = np.pad(pixels, ((0, tall - height), (0, wide - width), (0, 0)), "wrap")
    top, left = (tall - side) // 2, (wide - side) // 2
    return pixels[top : top + side, left : left + side]


def crosses(bands: Tensor, plane: Tensor) -> Tensor:
    """Bands (1, 3, K, 4) -> masks (K, 3, H, V) of 0 and 1."""
    height, columns = plane.shape[-2:]
    bands = bands[0].transpose(0, 1)
    lengths = torch.tensor([height, height, columns, columns], dtype=torch.float32)
    valid = (bands[..., 1::2] > bands[..., ::2]).repeat_interleave(2, dim=-1)
    cells = (bands * valid * lengths).floor().clamp(min=torch.zeros(4), max=lengths - 1)
    top, bottom, left, right = (end[..., None, None] for end in cells.unbind(-1))
    row, column = torch.arange(height)[:, None], torch.arange(columns)
    return (((row >= top) & (row <= bottom)) | ((column >= left) & (column <= right))).int()


def rebuilt(amplitude: Tensor, phase: Tensor) -> Tensor:
    """Equation 4, with cosine as the real part: (K, 3, H, V) -> (K, 3, H, W)."""
    images: Tensor = torch.fft.irfft2(torch.complex(amplitude * phase.cos(), amplitude * phase.sin()))
    return images
