"""SIA: "An Information Theoretic Approach for Attention-Driven Face Forgery Detection" (Sun et al. 2022).

EfficientNet-B4; at three depths each place is weighed by its self-information, by how unlike its neighbours
and the next channels it is, and each channel by that of its places. What was found informative is handed on
to the depths that follow. Distances are in units of an image's own mean, so that no image is weighed by the
others of its batch.
"""

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.baseline.network import Baseline

NEXT = 5
"""Channels that a place is held against."""
BETWEEN = 0.5
"""How much the information between channels counts beside that in space."""
DEPTHS = {2: 32, 3: 56, 5: 160}
"""Stages of EfficientNet-B4 that are followed by attention, and their channels."""


class Sia(Baseline):
    mean, std = MEAN, STD
    backbone = "network"
    unused = ("classifier.",)

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.network = get_model("efficientnet_b4", weights=None, num_classes=1)
        pairs = [(one, other) for one in DEPTHS for other in DEPTHS if one < other]
        self.handed = nn.ModuleDict(
            {f"{one}_{other}": _hand(DEPTHS[one], DEPTHS[other]) for one, other in pairs}
        )

    def forward(self, image: Tensor) -> Tensor:
        maps = image
        informative: dict[int, Tensor] = {}
        for stage, layer in enumerate(self.network.features):
            maps = layer(maps)
            if stage in DEPTHS:
                for earlier, found in informative.items():
                    given = self.handed[f"{earlier}_{stage}"](found)
                    maps = maps + nn.functional.adaptive_max_pool2d(given, maps.shape[2:])
                maps, informative[stage] = attended(maps)
        logit: Tensor = self.network.classifier(self.network.avgpool(maps).flatten(1))
        return logit


def attended(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) -> the maps weighed by place and by channel, and the self-information. No gradient goes
    through the weights."""
    information = self_information(maps.detach())
    channel = 1 + information.mean(dim=(2, 3), keepdim=True)
    return maps * (1 + information.sigmoid()) * channel, information


def self_information(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> the same shape, at least 0: minus the logarithm of how likely a value is beside its
    eight neighbours, and half of that beside the next five channels, the first following on the last.

    How likely: the mean of a Gaussian kernel over their distances. At the edge the image goes on as it ends.
    """
    height, width = maps.shape[2:]
    wide = nn.functional.pad(maps, (1, 1, 1, 1), mode="replicate")
    places = [(top, left) for top in range(3) for left in range(3) if (top, left) != (1, 1)]
    near = [wide[:, :, top : top + height, left : left + width] for top, left in places]
    following = torch.cat([maps, maps[:, :NEXT]], dim=1)
    channels = [following[:, step : step + maps.shape[1]] for step in range(1, NEXT + 1)]
    return _unlike(maps, near) + BETWEEN * _unlike(maps, channels)


def _unlike(maps: Tensor, others: list[Tensor]) -> Tensor:
    distances = [(maps - other).square() for other in others]
    mean = sum(distances).mean(dim=(1, 2, 3), keepdim=True) / len(others)  # type: ignore[union-attr]
    kernels = [(-distance / (2 * mean.clamp_min(1e-12))).exp() for distance in distances]
    likely: Tensor = sum(kernels) / len(others)  # type: ignore[assignment]
    return -likely.clamp_min(1e-6).log()


def _hand(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU())
