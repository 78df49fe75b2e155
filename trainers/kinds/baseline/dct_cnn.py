"""DCT-CNN: "Leveraging Frequency Analysis for Deep Fake Image Recognition" (Frank et al. 2020).

The orthonormal cosine transform of each colour, logarithmic, each coefficient brought to mean 0 and deviation
1 over the training data; four convolutions and one linear layer on them.
"""

import math

import torch
from torch import Tensor, nn

from assay.trainers.kinds.baseline.network import Baseline

EPSILON = 1e-12


class DctCnn(Baseline):
    transform: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.register_buffer("transform", dct_matrix(size), persistent=False)
        self.standardise = Standardise(3, size, size)
        self.network = nn.Sequential(
            *(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 1)),
        )

    def forward(self, image: Tensor) -> Tensor:
        logit: Tensor = self.network(self.standardise(self.coefficients(image)))
        return logit

    def coefficients(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in 0..1 -> the logarithms of the moduli of their coefficients, of values up to 255."""
        return ((self.transform @ (255 * image) @ self.transform.T).abs() + EPSILON).log()


class Standardise(nn.Module):
    """Each value less its mean, by its deviation, over all that training has seen so far."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("squares", torch.ones(shape))

    def forward(self, values: Tensor) -> Tensor:
        """(B, *shape) -> the same shape."""
        if self.training:
            self._take_in(values.detach())
        deviation = (self.squares - self.mean.square()).clamp_min(1e-6).sqrt()
        return (values - self.mean) / deviation

    def _take_in(self, values: Tensor) -> None:
        with torch.no_grad():
            self.count += len(values)
            share = len(values) / self.count
            self.mean += share * (values.mean(dim=0) - self.mean)
            self.squares += share * (values.square().mean(dim=0) - self.squares)


def dct_matrix(size: int) -> Tensor:
    """(S, S) float32: the orthonormal cosine transform of the second kind, row k being frequency k."""
    places = torch.arange(size, dtype=torch.float64)
    matrix = (math.pi / size * torch.outer(places, places + 0.5)).cos() * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
