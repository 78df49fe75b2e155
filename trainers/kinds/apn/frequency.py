"""The frequency branch (section 3.2.1): features of what remains of suspicious bands, and of the rest."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assay import kernels
from assay.trainers import dlpack as bridge
from assay.trainers.kinds.apn import purification
from assay.trainers.kinds.apn.proposer import Proposer
from assay.trainers.kinds.apn.run import Masks, Trunk
from assay.trainers.kinds.apn.trunk import trunk

HEADS = 8


@dataclass(frozen=True)
class Purified:
    """B images taken apart into K pairs.

    amplitude_bands, phase_bands: (B, 3, K, 4) row start, row end, column start, column end as proposed,
        fractions of an axis.
    relevant, irrelevant: (B, K, 3, S, S) what the bands hold and what they leave out.
    """

    amplitude_bands: Tensor
    phase_bands: Tensor
    relevant: Tensor
    irrelevant: Tensor


class FrequencyBranch(nn.Module):
    """Images -> features of their suspicious frequencies and of the others.

    masks: `hard` as published: only the band loss reaches the proposers; `soft`: masks pass a gradient.
    """

    def __init__(self, proposals: int, backbone: Trunk, features: int, size: int, masks: Masks) -> None:
        super().__init__()
        self.masks = masks
        self.amplitude = Proposer(proposals, size)
        self.phase = Proposer(proposals, size)
        self.relevant = Head(backbone, features)
        self.irrelevant = Head(backbone, features)
        self.confidence = Confidence(self.relevant.channels)

    def purify(self, images: Tensor) -> Purified:
        """(B, 3, S, S) float32 -> its parts. Always in float32: a rounded band is another image."""
        with torch.autocast(images.device.type, enabled=False):
            spectrum = bridge.call(kernels.spectrum, images.float())
            amplitude = self.amplitude(bridge.call(kernels.amplitude, spectrum))
            phase = self.phase(bridge.call(kernels.phase, spectrum))
            purify = purification.purify if self.masks == "soft" and torch.is_grad_enabled() else _hard
            parts = (
                purify(spectrum, amplitude, phase, irrelevant=irrelevant) for irrelevant in (False, True)
            )
            return Purified(amplitude, phase, *parts)

    def weigh(self, purified: Tensor) -> tuple[Tensor, Tensor]:
        """Relevant parts (B, K, 3, S, S) -> their feature (B, F) and the confidence in each (B, K).

        The feature is the sum weighted by confidence, not divided by the sum of weights, as published.
        """
        pooled, features = self.relevant(purified)
        confidence = self.confidence(pooled)
        return (features * confidence.unsqueeze(-1)).sum(dim=1), confidence

    def rest(self, purified: Tensor) -> Tensor:
        """Irrelevant parts (B, K, 3, S, S) -> their mean feature (B, F)."""
        _, features = self.irrelevant(purified)
        mean: Tensor = features.mean(dim=1)
        return mean


class Head(nn.Module):
    """A network that reads the K purified images of each input."""

    def __init__(self, backbone: Trunk, features: int) -> None:
        super().__init__()
        self.trunk, self.channels = trunk(backbone)
        self.head = nn.Linear(self.channels, features)

    def forward(self, purified: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, 3, S, S) -> pooled (B, K, C) and features (B, K, F)."""
        pooled = self.trunk(purified.flatten(0, 1)).unflatten(0, (-1, purified.shape[1]))
        return pooled, self.head(pooled)


class Confidence(nn.Module):
    """How much each proposal is to be trusted, seen beside the others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.head = nn.Sequential(
            *(nn.Linear(width, 128), nn.ReLU()), *(nn.Linear(128, 32), nn.ReLU()), nn.Linear(32, 1)
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, K, C) -> (B, K) in 0..1."""
        mixed, _ = self.attention(pooled, pooled, pooled, need_weights=False)
        return torch.sigmoid(self.head(mixed)).squeeze(-1)


def _hard(spectrum: Tensor, amplitude: Tensor, phase: Tensor, *, irrelevant: bool) -> Tensor:
    size = spectrum.shape[2], 2 * (spectrum.shape[3] - 1)
    images: Tensor = bridge.call(kernels.purify, spectrum, amplitude, phase, size, irrelevant=irrelevant)
    return images
