"""Small KL autoencoders (as latent diffusion uses, Rombach et al., CVPR 2022), trained by us.

What such a decoder leaves in an image depends on how it enlarges, so they differ in that: nearest neighbour,
bilinear, transposed convolution, pixel shuffle. Photographs sent through them are synthetic images of
content that is wholly real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from assay.trainers.benchmark.generators.network import Network, Pixels, Planes

Upsampler = Literal["nearest", "bilinear", "deconvolution", "shuffle"]

_WIDTH = 32
_LATENT = 4
_PATCH = 96
_BATCH = 8


class Autoencoder(nn.Module):
    """RGB 0..1 (N, 3, H, W) to itself through 4 channels at a quarter of the size."""

    def __init__(self, upsampler: Upsampler) -> None:
        super().__init__()
        width, latent = _WIDTH, _LATENT
        encoder: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        decoder: list[nn.Module] = [nn.Conv2d(latent, width, 3, padding=1), _Residual(width)]
        for _ in range(2):
            encoder += [_Residual(width), nn.Conv2d(width, width, 3, stride=2, padding=1)]
            decoder += [*_enlarge(upsampler, width), _Residual(width)]
        self.encoder = nn.Sequential(
            *encoder, _Residual(width), nn.SiLU(), nn.Conv2d(width, 2 * latent, 3, padding=1)
        )
        self.decoder = nn.Sequential(*decoder, nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        mean, _ = self.encoder(image * 2 - 1).chunk(2, dim=1)
        return cast(Tensor, self.decoder(mean) * 0.5 + 0.5)

    def loss(self, image: Tensor) -> Tensor:
        """L1 of the reconstruction from a sampled latent, and 1e-6 times its KL divergence to N(0, 1)."""
        mean, log_variance = self.encoder(image * 2 - 1).chunk(2, dim=1)
        log_variance = log_variance.clamp(-30, 20)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        output = self.decoder(latent) * 0.5 + 0.5
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return cast(Tensor, (output - image).abs().mean() + 1e-6 * divergence)


def train(
    images: Sequence[Pixels],
    upsampler: Upsampler,
    steps: int,
    seed: int,
    progress: Callable[[int], None] = lambda step: None,
) -> Autoencoder:
    """An f4 autoencoder fitted to random patches of `images` by `steps` steps of AdamW, one-cycle rate.

    Raises ValueError if no image is as large as a patch (96 pixels).
    """
    torch.manual_seed(seed)
    model = Autoencoder(upsampler)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    model.train().to(memory_format=torch.channels_last)
    for step, batch in zip(range(steps), _patches(images, seed), strict=False):
        inputs = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(inputs)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        progress(step + 1)
    return model


def load(path: Path, upsampler: Upsampler) -> Network:
    """The autoencoder whose weights were saved at `path`; RGB 0..1 on both sides, the size unchanged."""
    model = Autoencoder(upsampler)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return as_network(model)


def as_network(model: Autoencoder) -> Network:
    """`model` as a network on arrays whose sides are multiples of 4."""
    model = model.eval().to(memory_format=torch.channels_last)

    def network(planes: Planes) -> Planes:
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1)[None]
            output = model(image.contiguous(memory_format=torch.channels_last))[0]
        array: Planes = output.permute(1, 2, 0).numpy()
        return array

    return network


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        return value + cast(Tensor, self.second(F.silu(self.first(F.silu(value)))))


def _enlarge(upsampler: Upsampler, width: int) -> list[nn.Module]:
    if upsampler == "deconvolution":
        return [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)]
    if upsampler == "shuffle":
        return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
    return [nn.Upsample(scale_factor=2, mode=upsampler), nn.Conv2d(width, width, 3, padding=1)]


def _patches(images: Sequence[Pixels], seed: int) -> Iterator[NDArray[np.float32]]:
    """Batches (8, 96, 96, 3) of random patches, 0..1, mirrored half of the time."""
    draw = np.random.default_rng(seed)
    usable = [image for image in images if min(image.shape[:2]) >= _PATCH]
    if not usable:
        raise ValueError(
            f"no image is as large as the {_PATCH}-pixel patches that autoencoders are trained on"
        )
    while True:
        batch = np.empty((_BATCH, _PATCH, _PATCH, 3), np.float32)
        for slot in batch:
            image = usable[draw.integers(len(usable))]
            top, left = (int(draw.integers(side - _PATCH + 1)) for side in image.shape[:2])
            patch = image[top : top + _PATCH, left : left + _PATCH]
            slot[:] = (patch[:, ::-1] if draw.random() < 0.5 else patch) / np.float32(255)
        yield batch
