"""The band proposer (section 3.2.1): which frequencies of a spectrum look suspicious."""

from itertools import pairwise

import torch
from torch import Tensor, nn

COLOURS = 3
BLOCKS, LAYERS = 3, 4


class Proposer(nn.Module):
    """An amplitude or phase spectrum -> K crosses, each a band of rows together with a band of columns.

    proposals: K; size: the side S of the image whose half spectrum is looked at.
    """

    def __init__(self, proposals: int, size: int) -> None:
        super().__init__()
        columns = size // 2 + 1
        self.norm = nn.BatchNorm2d(COLOURS)
        self.rows = AxisProposer(proposals, size, kernel=(3, columns), padding=(1, 0))
        self.columns = AxisProposer(proposals, columns, kernel=(size, 3), padding=(0, 1))

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, 3, S, S//2+1) float32 -> (B, 3, K, 4) row start, row end, column start, column end.

        Values are fractions of the axis; ends may lie before starts, and either beyond 1.
        """
        normed = self.norm(spectrum)
        return torch.cat([self.rows(normed), self.columns(normed)], dim=-1)


class AxisProposer(nn.Module):
    """K bands along one axis of `length` frequencies, from a pooling of the other axis (OFP in the paper)."""

    prior: Tensor

    def __init__(
        self, proposals: int, length: int, *, kernel: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        quarter = length // 4
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.pool = nn.Conv2d(COLOURS, COLOURS, kernel, padding=padding, groups=COLOURS)
        self.neck = _perceptron([length] * (LAYERS + 1))
        self.head = _perceptron([length, quarter, quarter, quarter, 2 * proposals])[:-1]
        # The paper's i-th equal-division point of [0, 1]; the published code goes to 0.9 whatever K is.
        self.register_buffer("prior", torch.linspace(0, 0.9, proposals))

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, 3, S, S//2+1), normalised -> (B, 3, K, 2) start and end."""
        pooled = self.pool(self.blocks(spectrum)).flatten(2)
        start, end = torch.sigmoid(self.head(self.neck(pooled))).chunk(2, dim=-1)
        return torch.stack([start + self.prior, end + self.prior], dim=-1)


class Block(nn.Module):
    """A residual bottleneck on the three colours, which its middle convolution keeps apart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(COLOURS, COLOURS, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(COLOURS)
        self.conv2 = nn.Conv2d(COLOURS, COLOURS, 3, padding=1, groups=COLOURS, bias=False)
        self.bn2 = nn.BatchNorm2d(COLOURS)
        self.conv3 = nn.Conv2d(COLOURS, COLOURS, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(COLOURS)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, 3, H, V) -> the same shape, at least 0."""
        inner = torch.relu(self.bn1(self.conv1(maps)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        return torch.relu(maps + self.bn3(self.conv3(inner)))


def _perceptron(widths: list[int]) -> nn.Sequential:
    """Linear layers between the widths, each with a ReLU after it."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())))
