"""GramNet: "Global Texture Enhancement for Fake Face Detection in the Wild" (Liu et al. 2020).

ResNet-18, and beside it textures at six depths, from the image to the third stage: 32 maps, how alike each
two of them are (their Gram matrix), and two convolutions on that. All features are joined for two linear
layers.
"""

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.baseline.network import Baseline

DEPTHS = (3, 64, 64, 64, 128, 256)
"""Channels of the image, after the first convolution, its pooling, and the first three stages."""
MAPS = 32


class GramNet(Baseline):
    mean, std = MEAN, STD
    backbone = "network"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.network = get_model("resnet18", weights=None)
        del self.network.fc
        self.textures = nn.ModuleList(Texture(channels) for channels in DEPTHS)
        self.scale = nn.Parameter(torch.ones(1))
        width = 512 + MAPS * len(DEPTHS)
        self.head = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 1))

    def forward(self, image: Tensor) -> Tensor:
        network, maps = self.network, [image]
        maps.append(network.relu(network.bn1(network.conv1(image))))
        for layer in (network.maxpool, network.layer1, network.layer2, network.layer3):
            maps.append(layer(maps[-1]))
        whole = network.avgpool(network.layer4(maps[-1])).flatten(1)
        textures = [self.scale * texture(seen) for texture, seen in zip(self.textures, maps, strict=True)]
        logit: Tensor = self.head(torch.cat([whole, *textures], dim=1))
        return logit


class Texture(nn.Module):
    """(B, C, H, W) -> (B, 32)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = _layer(channels, MAPS, stride=1)
        self.alike = nn.Sequential(_layer(1, 16, stride=2), _layer(16, 32, stride=2))

    def forward(self, seen: Tensor) -> Tensor:
        rows = self.maps(seen).flatten(2)
        gram = rows @ rows.transpose(1, 2) / (MAPS * rows.shape[2])
        feature: Tensor = self.alike(gram.unsqueeze(1)).mean(dim=(2, 3))
        return feature


def _layer(before: int, after: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
