"""Spec: "Detecting and Simulating Artifacts in GAN Fake Images" (Zhang et al. 2019), its detector.

Each colour's amplitude spectrum, logarithmic, scaled so that its 5th and 95th percentiles are -1 and 1, and
clipped there; ResNet-34 on the three. Frequency 0 stays in the corner, as in the published code.
"""

import math

import torch
from torch import Tensor
from torchvision.models import get_model

from assay.trainers.kinds.baseline.network import Baseline

EPSILON = 1e-3
PERCENTILES = (5, 95)


class Spec(Baseline):
    backbone = "network"
    cosine: Tensor
    sine: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size)
        places = torch.arange(size, dtype=torch.float64)
        # Angles are taken modulo a turn first: large ones would lose their last digits.
        angles = 2 * math.pi / size * torch.outer(places, places).remainder(size)
        # A product with matrices and no transform: every runtime has one.
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        self.network = get_model("resnet34", weights=None, num_classes=1)

    def forward(self, image: Tensor) -> Tensor:
        logit: Tensor = self.network(self.spectra(image))
        return logit

    def spectra(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in 0..1 -> (B, 3, S, S) in -1..1."""
        across, along = image @ self.cosine, image @ self.sine
        real = self.cosine @ across - self.sine @ along
        imaginary = self.cosine @ along + self.sine @ across
        amplitude = ((real.square() + imaginary.square()).clamp_min(1e-20).sqrt() + EPSILON).log()
        low, high = (self._percentile(amplitude, share) for share in PERCENTILES)
        return (2 * (amplitude - low) / (high - low).clamp_min(1e-6) - 1).clamp(-1, 1)

    def _percentile(self, planes: Tensor, share: int) -> Tensor:
        """(B, 3, S, S) -> (B, 3, 1, 1), interpolated between neighbours as NumPy does."""
        order = planes.detach().flatten(2).sort(dim=2).values
        place = share / 100 * (self.size**2 - 1)
        below = int(place)
        value = order[:, :, below] + (place - below) * (order[:, :, below + 1] - order[:, :, below])
        return value[:, :, None, None]
