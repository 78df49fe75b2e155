"""MobileNetV2 and a small head that judges what all of its stages see.

What generators leave is weak and lies at every depth: grain in the first stages, structure in the last. A
head on all of them generalises better than one on the last alone. The last layers may be trained on with
the head, slowly; the first ones stay ImageNet's.

Layers that are trained on forget, on few thousand images, some of what ImageNet taught them. So the same
layers as they were may stand beside them with a head of their own: the two err on different images.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v2

STAGES = (1, 3, 6, 10, 13, 17, 18)
"""The last layers of MobileNetV2's stages."""
LAYERS = 19
_SEEN = 2 * (16 + 24 + 32 + 64 + 96 + 320 + 1280)
"""Means and deviations of the channels of all stages."""
_LARGEST = 8.0
"""Normalised values beyond are cut off: an odd image must not be far more certain than any in training."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Which images of a batch are mixed, and how (mixup, Zhang et al. 2018): `share` of each, the rest of
    the one whose index stands in its place in `others` (B,)."""

    share: float
    others: Tensor

    @classmethod
    def draw(cls, alpha: float, images: int, device: torch.device) -> Self:
        """The share by Beta(`alpha`, `alpha`), the order at random, both by torch's own generator."""
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        return cls(share, torch.randperm(images).to(device))

    def __call__(self, values: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)"""
        return self.share * values + (1 - self.share) * values[self.others]


class Stages(nn.Module):
    """(B, 3, S, S) -> (B, 1) logits, of each channel's mean and standard deviation at seven stages.

    Batch normalisation is folded into the convolutions: with few sources its statistics would be learnt by
    heart, and on a CPU it takes half of the time.
    """

    def __init__(
        self, hidden: int = 128, dropout: float = 0.3, trained_layers: int = 0, kept: bool = False
    ) -> None:
        """`trained_layers`: how many of the last of `LAYERS` are trained with the head. `kept`: these layers
        as they were stand beside them, and the logit is the mean of both."""
        super().__init__()
        layers = list(_folded(mobilenet_v2(weights=None).features))
        self.shared = nn.Sequential(*layers[: LAYERS - trained_layers])
        branches = [Branch(nn.Sequential(*layers[LAYERS - trained_layers :]), hidden, dropout)]
        if kept:
            branches.append(Branch(deepcopy(branches[0].layers), hidden, dropout))
        self.branches = nn.ModuleList(branches)
        self.requires_grad_(False)
        for branch in branches:
            branch.head.requires_grad_(True)
        branches[0].layers.requires_grad_(True)

    def take_features(self, donor: nn.Module) -> None:
        """Takes the layers of a torchvision MobileNetV2, whose batch normalisation is folded, in place."""
        features = donor.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        layers = _folded(features)
        first = len(self.shared)
        self.shared.load_state_dict(layers[:first].state_dict())
        for branch in self.branches:
            branch.get_submodule("layers").load_state_dict(nn.Sequential(*layers[first:]).state_dict())

    def forward(self, image: Tensor, mix: Mix | None = None) -> Tensor:
        """Images are mixed behind the layers that all share, as these see only real ones
        (manifold mixup, Verma et al. 2019)."""
        seen: list[Tensor] = []
        for number, layer in enumerate(self.shared):
            image = layer(image)
            if number in STAGES:
                seen.append(moments(image))
        if mix:
            image, seen = mix(image), [mix(one) for one in seen]
        logits = [branch(image, seen, len(self.shared)) for branch in self.branches]
        return torch.stack(logits).mean(0)


class Branch(nn.Module):
    """The last layers and the head that judges what all layers see."""

    def __init__(self, layers: nn.Sequential, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = layers
        self.normalise = nn.BatchNorm1d(_SEEN, affine=False)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(_SEEN, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, image: Tensor, seen: list[Tensor], first: int) -> Tensor:
        """`image`: (B, C, H, W) behind the layers before number `first`; `seen`: the moments at the stages
        among those -> (B, 1) logits."""
        for number, layer in enumerate(self.layers, first):
            image = layer(image)
            if number in STAGES:
                seen = [*seen, moments(image)]
        normal = self.normalise(torch.cat(seen, 1))
        logit: Tensor = self.head(normal.clamp(-_LARGEST, _LARGEST))
        return logit


def moments(image: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 2 C): the channels' means, then their standard deviations."""
    mean = image.mean((2, 3), keepdim=True)
    deviation = ((image - mean).square().mean((2, 3)) + 1e-6).sqrt()
    return torch.cat([mean.flatten(1), deviation], 1)


def _folded(features: nn.Sequential) -> nn.Sequential:
    """The layers with batch normalisation folded into the convolutions before it, in place."""
    for module in features.eval().modules():
        named = list(module.named_children())
        for (first, before), (second, after) in pairwise(named):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(before, after))
                setattr(module, second, nn.Identity())
    return features
