"""The network: both branches, and the classifier of what they agree to be artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.apn.frequency import FrequencyBranch
from assay.trainers.kinds.apn.published import translate
from assay.trainers.kinds.apn.run import Masks, Trunk
from assay.trainers.kinds.apn.spatial import SpatialBranch, along
from assay.trainers.kinds.apn.trunk import left_out
from assay.trainers.kinds.backbone import fill

FEATURES = 256
SIZE = 224
Branch = Literal["spatial", "frequency"]


@dataclass(frozen=True)
class Output:
    """What the network says of B images, and what training looks at.

    logits: (B, 2) authentic and synthetic, of the mean of the relevant features; logits_frequency and
        logits_spatial: (B, 2) the same classifier on each branch's feature alone.
    relevant_*, irrelevant_*: (B, 256) features of each branch.
    amplitude_bands, phase_bands: (B, 3, K, 4) row start, row end, column start, column end, for each colour,
        as proposed: before ends that lie before their starts are replaced.
    confidence: (B, K) in 0..1.
    purified: (B, K, 3, S, S) the images of the suspicious bands, where they were asked for.
    """

    logits: Tensor
    logits_frequency: Tensor
    logits_spatial: Tensor
    relevant_frequency: Tensor
    irrelevant_frequency: Tensor
    relevant_spatial: Tensor
    irrelevant_spatial: Tensor
    amplitude_bands: Tensor
    phase_bands: Tensor
    confidence: Tensor
    purified: Tensor | None = None


class APN(nn.Module):
    """Artifact Purification Network.

    proposals: K, how many bands are looked at; spatial, frequency: what the branches are built on; masks: see
    FrequencyBranch; size: side S of the images, even. Weights start at random and are never fetched.
    Raises ValueError for an unknown network, less than one proposal, or an odd size.
    """

    def __init__(
        self,
        proposals: int = 15,
        spatial: Trunk = "swin_t",
        frequency: Trunk = "resnet18",
        *,
        masks: Masks = "hard",
        size: int = SIZE,
    ) -> None:
        super().__init__()
        if proposals < 1 or size < 32 or size % 2:
            raise ValueError(f"APN needs a proposal and an even size from 32, not {proposals} and {size}")
        if masks not in ("hard", "soft"):
            raise ValueError(f"masks must be 'hard' or 'soft', not {masks!r}")
        self.proposals, self.size = proposals, size
        self.backbones: tuple[Trunk, Trunk] = (spatial, frequency)
        self.spatial = SpatialBranch(spatial, FEATURES)
        self.frequency = FrequencyBranch(proposals, frequency, FEATURES, size, masks)
        self.classifier = nn.Sequential(
            *(nn.Linear(FEATURES, 128), nn.ReLU()),
            *(nn.Linear(128, 32), nn.ReLU()),
            *(nn.Linear(32, 10), nn.ReLU()),
            nn.Linear(10, 2),
        )

    def forward(self, images: Tensor, *, purified: bool = False) -> Output:
        """(B, 3, S, S) float32 in 0..1, channels in the published order (blue, green, red) -> Output."""
        feature, basis = self.spatial(images), self.spatial.basis
        relevant_spatial = along(feature, basis.relevant)
        parts = self.frequency.purify(images)
        relevant_frequency, confidence = self.frequency.weigh(parts.relevant)
        return Output(
            logits=self.classify(relevant_spatial, relevant_frequency),
            logits_frequency=self.classifier(relevant_frequency),
            logits_spatial=self.classifier(relevant_spatial),
            relevant_frequency=relevant_frequency,
            irrelevant_frequency=self.frequency.rest(parts.irrelevant),
            relevant_spatial=relevant_spatial,
            irrelevant_spatial=along(feature, basis.irrelevant),
            amplitude_bands=parts.amplitude_bands,
            phase_bands=parts.phase_bands,
            confidence=confidence,
            purified=parts.relevant if purified else None,
        )

    def classify(self, spatial: Tensor, frequency: Tensor) -> Tensor:
        """The relevant features (B, 256) of both branches -> the logits (B, 2) of their mean."""
        # Stacked and not added: OpenVINO 2026.4 fuses layers with what is added between them into chains, and
        # on the chain from the spatial head to the logits it fails in bf16.
        logits: Tensor = self.classifier(torch.stack([spatial, frequency]).mean(dim=0))
        return logits

    def load_published(self, path: str | Path) -> None:
        """Loads a checkpoint in the layout of the published code, in place.

        The file holds a state dict, bare or under `model` or `state_dict`, with or without `module.` before
        the names. It is read without unpickling objects. Raises SetupError listing what is missing, extra or
        of another shape in any other file; the weights are then unchanged.
        """
        self.load_state_dict(
            translate(load_state(Path(path)), self.state_dict(), self.backbones[0], Path(path))
        )

    def load_trunk(self, branch: Branch, path: Path) -> None:
        """Loads an ImageNet classifier in torchvision's layout into what a branch is built on.

        The frequency branch has two of them. Raises SetupError listing what is missing or extra.
        """
        spatial, frequency = self.backbones
        unused = left_out(spatial if branch == "spatial" else frequency)
        state = {name: value for name, value in load_state(path).items() if not name.startswith(unused)}
        branches = (self.frequency.relevant, self.frequency.irrelevant)
        for part in (self.spatial,) if branch == "spatial" else branches:
            fill(part.trunk, state, path)

    def graphs(self) -> dict[str, nn.Module]:
        """What a verdict needs, as a bundle's graphs; they share the weights of this network."""
        return {"propose": Propose(self), "classify": Classify(self)}


class Propose(nn.Module):
    """amplitude, phase (N, 3, S, S//2+1) -> amplitude bands, phase bands (N, 3, K, 4)."""

    def __init__(self, network: APN) -> None:
        super().__init__()
        self.amplitude = network.frequency.amplitude
        self.phase = network.frequency.phase

    def forward(self, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        return self.amplitude(amplitude), self.phase(phase)


class Classify(nn.Module):
    """image (N, 3, S, S), purified (N, K, 3, S, S) -> logit (N, 1), confidence (N, K).

    The logit is the log-odds of synthetic in the softmax over both classes.
    """

    def __init__(self, network: APN) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, purified: Tensor) -> tuple[Tensor, Tensor]:
        spatial = along(self.network.spatial(image), self.network.spatial.basis.relevant)
        frequency, confidence = self.network.frequency.weigh(purified)
        logits = self.network.classify(spatial, frequency)
        return logits[:, 1:] - logits[:, :1], confidence
