"""What is left of the network when a part is taken away: the lines of table 4(a).

no_implicit    1  the whole network, trained without the loss on mutual information
no_explicit    2  the image's feature, split into channels
frequency      3  the frequency branch alone
space          4  the spatial branch alone
spectra        5  no proposals: a ResNet-50 reads the spectra
split          6  the image's feature is split into channels, not taken apart along vectors
whole          7  everything
"""

from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from assay import kernels
from assay.trainers import dlpack as bridge
from assay.trainers.kinds.apn.network import APN, FEATURES, SIZE, Output
from assay.trainers.kinds.apn.run import Branch, Form, Masks, Trunk
from assay.trainers.kinds.apn.spatial import Basis, SpatialBranch, along

Features: TypeAlias = tuple[Tensor, Tensor]
"""Relevant and irrelevant, (B, F) each."""


class Ablated(APN):
    """The network in one of the forms that take a part away; `forward` answers as the whole one does.

    Where a branch is missing its features are the other's, so that nothing is left to align and their mean is
    that branch alone; where there are no proposals K is 0.
    """

    def __init__(
        self,
        form: Form,
        proposals: int,
        spatial: Trunk,
        frequency: Trunk,
        *,
        masks: Masks = "hard",
        size: int = SIZE,
    ) -> None:
        super().__init__(proposals, spatial, frequency, masks=masks, size=size)
        self.form = form
        if form in ("no_explicit", "split"):
            self.spatial = SpatialBranch(spatial, 2 * FEATURES)
        if form == "frequency":
            del self.spatial.trunk, self.spatial.head
        if form in ("no_explicit", "split", "frequency"):
            self.spatial.basis = Basis(FEATURES).requires_grad_(False)  # orthogonal, and not used
        if form in ("no_explicit", "space", "spectra"):
            del self.frequency
        if form == "spectra":
            self.spectra = Spectra()

    def forward(self, images: Tensor, *, purified: bool = False) -> Output:
        """(B, 3, S, S) as the whole network takes them -> Output; purified images are never given."""
        no_bands = images.new_zeros(len(images), 3, 0, 4)
        amplitude_bands, phase_bands, confidence = no_bands, no_bands, images.new_zeros(len(images), 0)
        space = None if self.form == "frequency" else self._in_space(images)
        frequency: Features | None = None
        if self.form == "spectra":
            assert space is not None
            frequency = self.spectra(images), space[1]
        elif self.form in ("frequency", "split"):
            parts = self.frequency.purify(images)
            amplitude_bands, phase_bands = parts.amplitude_bands, parts.phase_bands
            relevant, confidence = self.frequency.weigh(parts.relevant)
            frequency = relevant, self.frequency.rest(parts.irrelevant)
        space, frequency = space or frequency, frequency or space
        assert space is not None
        assert frequency is not None
        return Output(
            logits=self.classify(space[0], frequency[0]),
            logits_frequency=self.classifier(frequency[0]),
            logits_spatial=self.classifier(space[0]),
            relevant_frequency=frequency[0],
            irrelevant_frequency=frequency[1],
            relevant_spatial=space[0],
            irrelevant_spatial=space[1],
            amplitude_bands=amplitude_bands,
            phase_bands=phase_bands,
            confidence=confidence,
        )

    def load_trunk(self, branch: Branch, path: Path) -> None:
        """Weights of a branch that this form is without, or that reads spectra, are passed over."""
        there = {"spatial": self.form != "frequency", "frequency": self.form in ("frequency", "split")}
        if there[branch]:
            super().load_trunk(branch, path)

    def _in_space(self, images: Tensor) -> Features:
        feature = self.spatial(images)
        if self.form in ("no_explicit", "split"):
            relevant, irrelevant = feature.chunk(2, dim=1)
            return relevant, irrelevant
        return along(feature, self.spatial.basis.relevant), along(feature, self.spatial.basis.irrelevant)


class Spectra(nn.Module):
    """Images (B, 3, S, S) -> (B, F): a ResNet-50 on six planes, the logarithm of the amplitude and the phase.

    The paper says no more than that the network reads the spectra.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(6)
        self.network = resnet50(weights=None, num_classes=FEATURES)
        self.network.conv1 = nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        spectrum = bridge.call(kernels.spectrum, images.float())
        amplitude, phase = (bridge.call(part, spectrum) for part in (kernels.amplitude, kernels.phase))
        feature: Tensor = self.network(self.norm(torch.cat([amplitude.log1p(), phase], dim=1)))
        return feature
