"""The published network stated once more, plainly: its own names of weights, torch's transforms, full masks.

It shares no code with the network under test: not the transformer, not the spectra, not the purification.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

WINDOW = 7


class Published(nn.Module):
    """Swin-T and two ResNet-18; `forward` gives what the published module gives, by name."""

    def __init__(self, proposals: int, size: int = 224) -> None:
        super().__init__()
        self.spital_branch = Spatial(size)
        self.frequency_branch = Frequency(proposals, size)
        self.classificator_generative = perceptron(256, 128, 32, 10, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        f = self.spital_branch.backbone(x)
        bases = self.spital_branch.space_base.base
        generative, semantic = bases.generative_base, bases.semantic_base
        out = self.frequency_branch(x)
        out["s_r"] = (f @ generative.transpose(0, 1)) @ generative
        out["s_ir"] = (f @ semantic.transpose(0, 1)) @ semantic
        classify = self.classificator_generative
        out["logits"] = classify((out["s_r"] + out["f_r"]) / 2)
        out["logits_f"], out["logits_s"] = classify(out["f_r"]), classify(out["s_r"])
        return out


class Spatial(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.space_base = nn.Module()
        self.space_base.base = nn.Module()
        self.space_base.base.semantic_base = nn.Parameter(torch.eye(256)[:128].clone())
        self.space_base.base.generative_base = nn.Parameter(torch.eye(256)[128:].clone())
        self.backbone = Swin(size)


class Frequency(nn.Module):
    def __init__(self, proposals: int, size: int) -> None:
        super().__init__()
        self.proposaler_1 = Proposaler(proposals, size)
        self.proposaler_2 = Proposaler(proposals, size)
        heads = [
            nn.Sequential(headless_resnet(), nn.Flatten(), nn.Linear(512, 256)) for _ in ("semantic", "other")
        ]
        self.semantic_head, self.generative_head = heads
        self.p_pred = nn.Module()
        self.p_pred.atten = nn.MultiheadAttention(512, 8, batch_first=True)
        self.p_pred.head = nn.Sequential(*perceptron(512, 128, 32, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        spectrum = torch.fft.rfft2(x)
        # These four are real. Which side of zero rounding leaves the imaginary part on differs between
        # machines, and turns the phase of a negative one from pi to -pi.
        spectrum.imag[..., :: x.shape[-2] // 2, :: x.shape[-1] // 2] = 0.0
        amplitude, phase = spectrum.abs(), spectrum.angle()
        bands_a, bands_p = self.proposaler_1(amplitude), self.proposaler_2(phase)
        images, rest = [], []
        for k in range(bands_a.shape[2]):
            a = amplitude * cross(bands_a[:, :, k], *amplitude.shape[-2:])
            p = phase * cross(bands_p[:, :, k], *phase.shape[-2:])
            images.append(torch.fft.irfft2(torch.complex(a * p.cos(), a * p.sin())))
            a, p = amplitude - a, phase - p
            rest.append(torch.fft.irfft2(torch.complex(a * p.cos(), a * p.sin())))
        pooled = torch.stack([self.generative_head[0](image) for image in images], 1)
        features = torch.stack([self.generative_head(image) for image in images], 1)
        others = torch.stack([self.semantic_head(image) for image in rest], 1)
        mixed, _ = self.p_pred.atten(pooled, pooled, pooled)
        confidence = self.p_pred.head(mixed)
        return {
            "bands_a": bands_a,
            "bands_p": bands_p,
            "images": torch.stack(images, 1),
            "p": confidence[..., 0],
            "f_r": (features * confidence).sum(1),
            "f_ir": others.mean(1),
        }


def cross(bands: Tensor, height: int, columns: int) -> Tensor:
    """(B, C, 4) -> (B, C, H, V) of 0 and 1, cell by cell of the axes."""
    mask = torch.zeros(*bands.shape[:2], height, columns)
    for image in range(bands.shape[0]):
        for colour in range(bands.shape[1]):
            row_start, row_end, column_start, column_end = bands[image, colour]
            rows = cells(row_start, row_end, height)
            columns_kept = cells(column_start, column_end, columns)
            mask[image, colour, rows, :] = 1
            mask[image, colour, :, columns_kept] = 1
    return mask


def cells(start: Tensor, end: Tensor, length: int) -> slice:
    if end <= start:
        start, end = start * 0, end * 0
    first, last = (min(max(int(torch.floor(value * length)), 0), length - 1) for value in (start, end))
    return slice(first, last + 1)


class Proposaler(nn.Module):
    def __init__(self, proposals: int, size: int) -> None:
        super().__init__()
        half = size // 2 + 1
        self.norm = nn.BatchNorm2d(3)
        self.x_proposaler = SubProposaler(proposals, size, (3, half), (1, 0))
        self.y_proposaler = SubProposaler(proposals, half, (size, 3), (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        parts = [*self.x_proposaler(x), *self.y_proposaler(x)]
        return torch.stack(parts, -1)


class SubProposaler(nn.Module):
    def __init__(
        self, proposals: int, length: int, kernel: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.proposals, quarter = proposals, length // 4
        self.freq_conv = nn.Module()
        self.freq_conv.conv_body = nn.Sequential(*(Residual() for _ in range(3)))
        self.freq_conv.last_conv = nn.Conv2d(3, 3, kernel, 1, padding, groups=3)
        self.neck = nn.Sequential(*perceptron(*[length] * 5), nn.ReLU())
        self.head_p = nn.Sequential(*perceptron(length, quarter, quarter, quarter, proposals), nn.Sigmoid())
        self.head_c = nn.Sequential(
            *perceptron(length, quarter, quarter, quarter, 2 * proposals), nn.Sigmoid()
        )
        self.prior = nn.Parameter(torch.linspace(0, 0.9, proposals), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.freq_conv.last_conv(self.freq_conv.conv_body(x))
        c = self.head_c(self.neck(x.reshape(len(x), 3, -1)))
        return c[..., : self.proposals] + self.prior, c[..., self.proposals :] + self.prior


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU()),
            *(nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), nn.BatchNorm2d(3), nn.ReLU()),
            *(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + x)


def perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, (one, next_one) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if number else []
        layers.append(nn.Linear(one, next_one))
    return nn.Sequential(*layers)


def headless_resnet() -> nn.Module:
    network = resnet18(weights=None)
    network.fc = nn.Identity()
    return network


class Swin(nn.Module):
    """Swin-T with the names of its authors' code, on a fixed size; masks and bias indices are buffers."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, 96, 4, 4)
        self.patch_embed.norm = nn.LayerNorm(96)
        self.layers = nn.ModuleList()
        for stage, (depth, heads) in enumerate(zip((2, 2, 6, 2), (3, 6, 12, 24), strict=True)):
            width, side = 96 << stage, size // 4 >> stage
            layer = nn.Module()
            layer.blocks = nn.ModuleList(SwinBlock(width, heads, side, block % 2) for block in range(depth))
            if stage < 3:
                layer.downsample = nn.Module()
                layer.downsample.reduction = nn.Linear(4 * width, 2 * width, bias=False)
                layer.downsample.norm = nn.LayerNorm(4 * width)
            self.layers.append(layer)
        self.norm = nn.LayerNorm(768)
        self.head = nn.Linear(768, 256)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed.norm(self.patch_embed.proj(x).permute(0, 2, 3, 1))
        for layer in self.layers:
            for block in layer.blocks:
                x = block(x)
            if hasattr(layer, "downsample"):
                four = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
                x = layer.downsample.reduction(layer.downsample.norm(torch.cat(four, -1)))
        return self.head(self.norm(x).mean(dim=(1, 2)))


class SwinBlock(nn.Module):
    def __init__(self, width: int, heads: int, side: int, odd: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, WINDOW // 2 if odd and side > WINDOW else 0
        self.norm1 = nn.LayerNorm(width)
        self.attn = nn.Module()
        self.attn.relative_position_bias_table = nn.Parameter(torch.randn((2 * WINDOW - 1) ** 2, heads))
        places = [(row, column) for row in range(WINDOW) for column in range(WINDOW)]
        index = [
            [(r - s + WINDOW - 1) * (2 * WINDOW - 1) + c - d + WINDOW - 1 for s, d in places]
            for r, c in places
        ]
        self.attn.register_buffer("relative_position_index", torch.tensor(index))
        self.attn.qkv = nn.Linear(width, 3 * width)
        self.attn.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(width, 4 * width)
        self.mlp.fc2 = nn.Linear(4 * width, width)
        if self.shift:
            self.register_buffer("attn_mask", self.strangers(side))

    def strangers(self, side: int) -> Tensor:
        """(windows, 49, 49) -100 where two cells of a shifted window come from apart in the image."""
        edge = torch.zeros(side, dtype=torch.long)
        edge[side - WINDOW :], edge[side - self.shift :] = 1, 2
        region = (edge[:, None] * 3 + edge[None]).float()[None, :, :, None]
        region = windows(region).squeeze(-1)
        return torch.where(region[:, None] == region[:, :, None], 0.0, -100.0)

    def forward(self, x: Tensor) -> Tensor:
        batch, side, _, width = x.shape
        inner = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        cut = windows(inner)
        q, k, v = self.attn.qkv(cut).reshape(*cut.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        bias = self.attn.relative_position_bias_table[self.attn.relative_position_index]
        scores = scores + bias.permute(2, 0, 1)
        if self.shift:
            scores = scores + self.attn_mask.repeat(batch, 1, 1)[:, None]
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(cut.shape)
        per = side // WINDOW
        mixed = self.attn.proj(mixed).reshape(batch, per, per, WINDOW, WINDOW, width)
        mixed = mixed.transpose(2, 3).reshape(x.shape)
        x = x + torch.roll(mixed, (self.shift, self.shift), (1, 2))
        return x + self.mlp.fc2(functional.gelu(self.mlp.fc1(self.norm2(x))))


def windows(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B * windows, 49, C)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return x.transpose(2, 3).reshape(-1, WINDOW * WINDOW, channels)
