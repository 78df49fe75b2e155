"""Which patches of the originals the local branch of Fusing sees: those selected, or the ablations."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from assay.engine.detectors.fusing import Parameters, choose_patches
from assay.kernels import crop_resize
from assay.trainers import dlpack as bridge
from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.fusing.run import PatchRule

Cut: TypeAlias = Callable[[Sequence[Tensor], Tensor, int, bool], Tensor]
"""B originals, (H, W, 3) uint8 or normalised (3, H, W) float32, their activation (B, M, M), the side S of a
patch as the network sees it, and whether it trains -> patches (B*P, 3, S, S), normalised."""


def selected(images: Sequence[Tensor], activation: Tensor, size: int, training: bool) -> Tensor:
    sizes = torch.tensor(_sizes(images), dtype=torch.int32, device=activation.device)
    _, boxes = bridge.call(choose_patches, activation.float(), sizes, Parameters())
    return _crop(images, boxes, size)


def random(images: Sequence[Tensor], activation: Tensor, size: int, training: bool) -> Tensor:
    """Anywhere, evenly; outside training always at the same places of images of the same size."""
    boxes = []
    for sides in _sizes(images):
        rng = np.random.default_rng(int(torch.randint(2**31, ())) if training else 0)
        for _, patch in Parameters().windows:
            extent = np.minimum(sides, patch)
            corners = rng.integers(0, np.array(sides) - extent, (Parameters().count, 2), endpoint=True)
            boxes.append(np.concatenate([corners, corners + extent], axis=1))
    table = torch.from_numpy(np.stack(boxes).reshape(len(images), -1, 4).astype(np.int32))
    return _crop(images, table.to(activation.device), size)


def resized(images: Sequence[Tensor], activation: Tensor, size: int, training: bool) -> Tensor:
    mean, std = (torch.tensor(triple, device=activation.device)[:, None, None] for triple in (MEAN, STD))
    crops = []
    for image in images:
        planes = (image.permute(2, 0, 1) / 255 - mean) / std if image.dtype == torch.uint8 else image
        both = (2 * size, 2 * size)
        whole = functional.interpolate(planes[None], both, mode="bilinear", antialias=True)[0]
        half = size // 2
        for top, left in ((0, 0), (0, size), (half, half), (size, 0), (size, size)):
            crops.append(whole[:, top : top + size, left : left + size])
    return torch.stack(crops)


CUTS: dict[PatchRule, Cut] = {"selected": selected, "random": random, "resized": resized}


def _sizes(images: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Height and width of each."""
    return [tuple(image.shape[:2] if image.dtype == torch.uint8 else image.shape[1:]) for image in images]


def _crop(images: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
    normalise = {"mean": MEAN, "std": STD} if images[0].dtype == torch.uint8 else {}
    cut: Tensor = bridge.call(crop_resize, list(images), boxes, size, **normalise)
    return cut
