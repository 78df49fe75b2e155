"""F3-Net: "Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware Clues" (Qian et al. 2020).

Two streams: the image taken apart into three bands of its cosine transform (FAD), and how much of each of six
bands windows of it hold (LFS); each stream attends to the other at two depths (MixBlock). The paper's streams
are Xception, which torchvision lacks; these are ResNet-50, the blocks where it has the same strides.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.backbone import MEAN, STD, fill
from assay.trainers.kinds.baseline.dct_cnn import dct_matrix
from assay.trainers.kinds.baseline.network import Baseline

SHARES = (0.0, 1 / 16, 1 / 8, 1.0)
"""Of all coefficients, from the lowest up, where the bands of FAD begin and end."""
WINDOW, STEP, STATISTICS = 10, 2, 6
"""Side of a window of LFS in pixels, from one to the next, and its bands."""
STEM = "conv1."


class F3Net(Baseline):
    mean, std = MEAN, STD
    backbone = "decomposed"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.decomposition, self.statistics = Decomposition(size), Statistics()
        self.decomposed, self.local = _stream(9, stride=2), _stream(STATISTICS, stride=1)
        self.mixed = nn.ModuleList([Mix(1024), Mix(2048)])
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * 2048, 1))

    def forward(self, image: Tensor) -> Tensor:
        one, other = self.decomposition(image), self.statistics(image)
        for name, layer in self.decomposed.named_children():
            if name == "avgpool":
                break
            one, other = layer(one), self.local.get_submodule(name)(other)
            if name in ("layer3", "layer4"):
                one, other = self.mixed[name == "layer4"](one, other)
        logit: Tensor = self.head(torch.cat([maps.mean(dim=(2, 3)) for maps in (one, other)], dim=1))
        return logit

    def load_backbone(self, path: Path) -> None:
        """Both streams; the first layer of the decomposed one sees in each band what it saw in the image,
        that of statistics stays as it is."""
        state = {name: value for name, value in load_state(path).items() if not name.startswith("fc.")}
        stem = state.pop(STEM + "weight", None)
        if stem is None or stem.shape != (64, 3, 7, 7):
            raise SetupError(f"{path} does not fit this network: it lacks ResNet-50's {STEM}weight")
        for stream in (self.decomposed, self.local):
            fill(stream, state, path, optional=STEM)
        with torch.no_grad():
            self.decomposed.get_parameter(STEM + "weight").copy_(stem.repeat(1, 3, 1, 1))


class Decomposition(nn.Module):
    """(B, 3, S, S) -> (B, 9, S, S): an image of each band; without what is learnt their sum is the image."""

    transform: Tensor
    bands: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("transform", dct_matrix(size), persistent=False)
        order = torch.arange(size)[:, None] + torch.arange(size)
        # Coefficients whose row and column sum to less than s are s * s / 2 of all, up to the diagonal.
        edges = [size * (2 * share) ** 0.5 for share in SHARES[:-1]] + [2 * size]
        inside = [(order >= low) & (order < high) for low, high in pairwise(edges)]
        self.register_buffer("bands", torch.stack(inside).float(), persistent=False)
        self.learnt = nn.Parameter(0.1 * torch.randn(len(inside), size, size))

    def forward(self, image: Tensor) -> Tensor:
        coefficients = self.transform @ image @ self.transform.T
        filters = self.bands + (self.learnt / 2).tanh()  # tanh(x / 2) is the paper's squashing
        filtered = coefficients.unsqueeze(1) * filters[:, None]
        return (self.transform.T @ filtered @ self.transform).flatten(1, 2)


class Statistics(nn.Module):
    """(B, 3, S, S) -> (B, 6, S / 2, S / 2): the logarithm of how much each window holds of each band."""

    transform: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        matrix = dct_matrix(WINDOW)
        waves = torch.einsum("ui,vj->uvij", matrix, matrix).reshape(WINDOW**2, 1, WINDOW, WINDOW)
        self.register_buffer("transform", waves, persistent=False)
        order = (torch.arange(WINDOW)[:, None] + torch.arange(WINDOW)).flatten()
        band = order * STATISTICS // (2 * WINDOW - 1)
        self.register_buffer("bands", torch.eye(STATISTICS)[band].T.contiguous(), persistent=False)
        self.learnt = nn.Parameter(0.1 * torch.randn(STATISTICS, WINDOW**2))

    def forward(self, image: Tensor) -> Tensor:
        batch, colours, side, _ = image.shape
        planes = image.reshape(batch * colours, 1, side, side)
        padding = WINDOW // 2 - 1
        windows = nn.functional.conv2d(planes, self.transform, stride=STEP, padding=padding).abs()
        filters = (self.bands + (self.learnt / 2).tanh()).abs()[:, :, None, None]
        held = nn.functional.conv2d(windows, filters)
        held = held.reshape(batch, colours, *held.shape[1:]).sum(dim=1)
        return (held + 1e-6).log10()


class Mix(nn.Module):
    """Two maps (B, C, H, H) -> the same shapes: how alike rows of the one and columns of the other are, by
    channel, weighs each map before it is added to the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, channels, 1, groups=channels) for _ in range(2))
        self.share = nn.Parameter(torch.zeros(2))
        self.into = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 1, groups=channels), nn.BatchNorm2d(channels))
            for _ in range(2)
        )

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        alike = (self.query(one) @ self.key(other).transpose(2, 3)).softmax(dim=-1)
        first, second = (
            alike * maps * share for maps, share in zip((other, one), self.share.tanh(), strict=True)
        )
        return one + self.into[0](first), other + self.into[1](second)


def _stream(channels: int, stride: int) -> nn.Module:
    """ResNet-50 without a head, for images of so many channels."""
    network: nn.Module = get_model("resnet50", weights=None)
    network.conv1 = nn.Conv2d(channels, 64, 7, stride=stride, padding=3, bias=False)
    del network.fc
    return network
