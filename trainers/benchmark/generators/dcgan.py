"""Unconditional DCGAN generators (Radford et al., 2016): 100 normal numbers in, a 64x64 face out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assay.trainers.benchmark.generators.network import Pixels

Sampler = Callable[[int], Pixels]
"""Maps a seed to one image, always the same one."""

SIDE = 64


def generator(width: int = 64) -> nn.Sequential:
    """The generator of the paper: transposed convolutions from 1x1 to 64x64 with batch normalisation."""
    layers: list[nn.Module] = []
    channels = [100, width * 8, width * 4, width * 2, width]
    for index, (inputs, outputs) in enumerate(pairwise(channels)):
        stride, padding = (1, 0) if index == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def load(weights: Mapping[str, Tensor]) -> Sampler:
    """A sampler from a state dict whose tensors stand in the order of the layers, whatever their names.

    Raises ValueError if their number or a shape differs.
    """
    model = generator()
    names = list(model.state_dict())
    if len(weights) != len(names):
        raise ValueError(f"a DCGAN of 64x64 has {len(names)} tensors, this file {len(weights)}")
    try:
        model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    except RuntimeError as error:
        raise ValueError(f"these are not the weights of a 64x64 DCGAN: {error}") from error
    model.eval()

    def sample(seed: int) -> Pixels:
        noise = np.random.default_rng(seed).standard_normal((1, 100, 1, 1)).astype(np.float32)
        with torch.inference_mode():
            image = model(torch.from_numpy(noise))[0].permute(1, 2, 0)
        pixels: Pixels = ((image * 0.5 + 0.5).clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
        return pixels

    return sample


def load_file(path: Path, entry: str | None = None) -> Sampler:
    """`load` of a file that torch saved; `entry` names the state dict inside a larger checkpoint."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return load(checkpoint[entry] if entry else checkpoint)
