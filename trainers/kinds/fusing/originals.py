"""Batches of originals of different sizes, each with its global view, augmented together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.kernels import ViewRule, view
from assay.trainers.data.augment import Pixels, Step
from assay.trainers.data.dataset import Prepare

Prepared = tuple[Pixels, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Originals:
    """B originals (H, W, 3) uint8, their views (B, 3, S, S) float32, labels (B,) float32.

    `unreadable`: files that were drawn but could not be read.
    """

    images: list[Tensor]
    views: Tensor
    labels: Tensor
    unreadable: tuple[Path, ...] = ()


def original_and_view(steps: Sequence[Step], rule: ViewRule) -> Prepare:
    """Augments the whole original, so that its view and its patches show the same blur and blocks."""

    def prepare(pixels: Pixels, rng: np.random.Generator) -> Prepared:
        for step in steps:
            pixels = step(pixels, rng)
        pixels = np.ascontiguousarray(pixels)
        return pixels, view([pixels], rule)[0]

    return prepare


def collate(items: Sequence[tuple[Prepared, int] | Path]) -> Originals:
    read = [item for item in items if isinstance(item, tuple)]
    views = [shown for (_, shown), _ in read]
    return Originals(
        [torch.tensor(pixels) for (pixels, _), _ in read],
        torch.from_numpy(np.stack(views)) if views else torch.empty(0, 3, 1, 1),
        torch.tensor([float(label) for _, label in read]),
        tuple(item for item in items if isinstance(item, Path)),
    )
