"""The spatial branch (section 3.2.2): a feature taken apart along two sets of vectors."""

import torch
from torch import Tensor, nn

from assay.trainers.kinds.apn.run import Trunk
from assay.trainers.kinds.apn.trunk import trunk


class SpatialBranch(nn.Module):
    """Images -> the relevant and the irrelevant part of their feature."""

    def __init__(self, backbone: Trunk, features: int) -> None:
        super().__init__()
        self.trunk, channels = trunk(backbone)
        self.head: nn.Module = nn.Linear(channels, features)
        if backbone != "swin_t":
            self.head = nn.Sequential(self.head, nn.ReLU(), nn.Linear(features, features))
        self.basis = Basis(features)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, F), not yet taken apart."""
        feature: Tensor = self.head(self.trunk(images))
        return feature


class Basis(nn.Module):
    """F/2 vectors that span what is artifact and F/2 that span what is not, (F/2, F) each.

    They start as [I, 0] and [0, I]. A loss keeps the sets orthogonal, nothing keeps the vectors of a set so.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        relevant, irrelevant = torch.eye(features).chunk(2)
        self.relevant = nn.Parameter(relevant.clone())
        self.irrelevant = nn.Parameter(irrelevant.clone())


def along(feature: Tensor, vectors: Tensor) -> Tensor:
    """Equation 5: (B, F) and (M, F) -> (B, F), the sum of the vectors, each weighted by its product."""
    return feature @ vectors.T @ vectors
