"""Purification networks for tests: random weights, but bands, confidences and logits that differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.apn.run import ApnFit, ApnRun

GAIN = 6**0.5  # from torch's initialisation of linear layers to one that keeps the variance through ReLUs


@contextmanager
def tiny_trunks() -> Iterator[None]:
    """Networks built meanwhile stand on two convolutions, whatever trunk they ask for: tests stay quick."""

    def tiny(name: str) -> tuple[nn.Module, int]:
        layers = [nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 5, 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 16

    with pytest.MonkeyPatch.context() as patch:
        for branch in ("frequency", "spatial"):
            patch.setattr(f"assay.trainers.kinds.apn.{branch}.trunk", tiny)
        yield


def enliven(network: nn.Module, images: Tensor, skip: str = "\0") -> None:
    """Scale linear layers, fit batch statistics to `images` where there are any, and go to eval mode.

    Random weights alone propose the same bands with the same confidence for every image, which would agree
    with anything. Layers whose names contain `skip` keep their scale.
    """
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear) and skip not in name:
                layer.weight *= GAIN
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # keep the mean over the batches seen
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
        network.train()
        network(images)
        network.eval()


def lively(proposals: int = 3, size: int = 64, seed: int = 5) -> APN:
    """A small network whose answers depend on the image."""
    torch.manual_seed(seed)
    with tiny_trunks():
        network = APN(proposals, "resnet18", "resnet18", size=size)
    enliven(network, pictures(8, size))
    return network


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """(count, 3, size, size) views of photographs in 0..1, blue first."""
    from support.fusing import resized

    from assay.kernels import ViewRule, view

    rule = ViewRule(
        resize="none", size=size, crop="centre", small="wrap", channels="bgr", mean=(0,) * 3, std=(1,) * 3
    )
    images = [resized(2 * size, 3 * size, seed + number) for number in range(count)]
    return torch.from_numpy(view(images, rule))


def small_run(data: Path, **changes: Any) -> ApnRun:
    """A run of one epoch on views of 32 pixels, with `changes` of its fields."""
    fields: dict[str, Any] = {
        "proposals": 2,
        "spatial": "resnet18",
        "frequency": "resnet18",
        "data": data,
        "size": 32,
        "batch": 4,
        "fit": ApnFit(epochs=1),
    }
    return ApnRun(**{**fields, **changes})
