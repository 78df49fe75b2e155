"""Networks that tell an image's noise: the learned noise pattern, which cameras and generators leave unlike.

`Denoiser` is the denoising network of "CycleISP: Real Image Restoration via Improved Data Synthesis" (Zamir
et al. 2020), read as "Detecting Generated Images by Real Images" (Liu et al. 2022) does: what it would add
to denoise an image, negated. `Student` does the same for a small part of the work. Both take any size.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.backbone import MEAN, STD, fill

Form: TypeAlias = Literal["raw", "published"]
WIDTH, REDUCTION = 64, 16


class Denoiser(nn.Module):
    """CycleISP's network of `rrg` recursive residual groups of `dab` dual attention blocks each.

    With the published 4 and 8 it has 2,834,947 parameters; the face paper prints 4 and 2. Names and shapes of
    the weights are those of the published code, the one PReLU that all blocks share included. Weights start
    at random and are never fetched.
    """

    def __init__(self, rrg: int = 4, dab: int = 8) -> None:
        super().__init__()
        if rrg < 1 or dab < 1:
            raise ValueError(f"a denoiser needs one group of one block at least, not {rrg} of {dab}")
        shared = nn.PReLU(WIDTH)
        self.head = nn.Sequential(_conv3(3, WIDTH))
        groups = [_Residual([*(_DualAttention(shared) for _ in range(dab)), _conv3()]) for _ in range(rrg)]
        self.body = nn.Sequential(*groups, _conv3(), shared)
        self.tail = nn.Sequential(_conv3(WIDTH, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> the learned noise pattern (B, 3, H, W), -M2 in the papers.

        The denoised image is the image less its pattern.
        """
        correction: Tensor = self.tail(self.body(self.head(images)))
        return -correction

    def load_published(self, path: str | Path) -> None:
        """Loads a checkpoint in the layout of the published code, in place.

        The file holds a state dict, bare or under `model` or `state_dict`, with or without `module.` before
        the names. It is read without unpickling objects. Raises SetupError listing what is missing or extra
        in any other file, or where its PReLUs differ, which are one; the weights are then unchanged.
        """
        state = load_state(Path(path))
        own = self.state_dict(keep_vars=True)
        tied = [name for name, value in own.items() if value is self.body[-1].weight and name in state]
        if differing := [name for name in tied if not torch.equal(state[name], state[tied[0]])]:
            raise SetupError(
                f"{path} does not fit this network: {', '.join(differing)} should equal {tied[0]}, "
                "all blocks sharing one PReLU"
            )
        fill(self, state, Path(path))


class Student(nn.Module):
    """A plain network of dilated 3x3 convolutions, 48,003 parameters with the defaults.

    Layers and dilations are those of IRCNN ("Learning Deep CNN Denoiser Prior for Image Restoration", Zhang
    et al. 2017), half as wide and without batch normalisation. It never leaves the image's resolution: what
    an upsampling layer leaves behind is the very trace that a detector looks for. Weights start at random.
    """

    def __init__(self, width: int = 32, dilations: tuple[int, ...] = (1, 2, 3, 4, 3, 2, 1)) -> None:
        super().__init__()
        channels = [3, *[width] * (len(dilations) - 1), 3]
        layers: list[nn.Module] = []
        for before, after, dilation in zip(channels, channels[1:], dilations, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.kaiming_normal_(last.weight, a=10)  # a tenth: noise is small beside what it lies on

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> the learned noise pattern (B, 3, H, W), as `Denoiser` gives it."""
        pattern: Tensor = self.layers(images)
        return pattern


class Pattern(nn.Module):
    """A denoiser as a bundle's graph `denoise`: image (N, 3, S, S) -> pattern (N, 3, S, S) in a form.

    raw: floats as the denoiser gives them.
    published: what classifiers of the published code were trained on, see `published_pattern`.
    """

    def __init__(self, denoiser: nn.Module, form: Form = "raw") -> None:
        super().__init__()
        if form not in ("raw", "published"):
            raise ValueError(f"form must be 'raw' or 'published', not {form!r}")
        self.denoiser = denoiser
        self.form = form

    def forward(self, image: Tensor) -> Tensor:
        pattern: Tensor = self.denoiser(image)
        return pattern if self.form == "raw" else published_pattern(pattern)


def published_pattern(pattern: Tensor) -> Tensor:
    """A pattern -M2 (B, 3, H, W) as the published code stores it in a PNG and its classifier reads it.

    Clamped to 0..1, so that noise below 0 is lost; rounded to 8 bits; multiplied by 255 in 8 bits, which
    wraps: v becomes (256 - v) mod 256, 0 black and the least noise white; red and blue exchanged. What is
    read is divided by 255 and normalised by ImageNet's mean and deviation.
    """
    levels = torch.round(pattern.clamp(0, 1) * 255)
    wrapped = torch.where(levels > 0, 256 - levels, levels)
    mean, deviation = (pattern.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (wrapped.flip(1) / 255 - mean) / deviation


class _Residual(nn.Module):
    """Layers in a row, plus what went in."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.body(features) + features
        return out


class _DualAttention(nn.Module):
    """Two convolutions, weighed once by place and once by channel, joined, plus what went in."""

    def __init__(self, shared: nn.PReLU) -> None:
        super().__init__()
        self.SA = _SpatialAttention()
        self.CA = _ChannelAttention()
        self.body = nn.Sequential(_conv3(), shared, _conv3())
        self.conv1x1 = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        mapped = self.body(features)
        joined: Tensor = self.conv1x1(torch.cat([self.SA(mapped), self.CA(mapped)], dim=1))
        return joined + features


class _SpatialAttention(nn.Module):
    """Each place weighed by the maximum and the mean over its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential()
        self.spatial.add_module("conv", nn.Conv2d(2, 1, 3, padding=1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        statistics = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.spatial(statistics))


class _ChannelAttention(nn.Module):
    """Each channel weighed by the means of all channels (squeeze and excitation)."""

    def __init__(self) -> None:
        super().__init__()
        narrow = WIDTH // REDUCTION
        self.conv_du = nn.Sequential(nn.Conv2d(WIDTH, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, WIDTH, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.conv_du(functional.adaptive_avg_pool2d(features, 1)))


def _conv3(before: int = WIDTH, after: int = WIDTH) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
