"""Training views of `lnp`: each image is cut and altered in a few ways only, whose patterns can be kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from assay.engine.errors import SetupError
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import Pixels, Step
from assay.trainers.data.dataset import BalancedSampler, Draw, Prepare, TrainingSet, random_view
from assay.trainers.data.samples import Sample
from assay.trainers.fit.distributed import Distributed
from assay.trainers.kinds.lnp.face_cutter import FaceCutter
from assay.trainers.kinds.lnp.patterns import Plane, Store


@dataclass(frozen=True, slots=True)
class Views:
    """B images (B, 3, S, S) float32, labels (B,) float32, and the files that could not be read.

    found: (B,) bool, whether an image is its pattern already, not a view whose pattern is yet to be computed.
    """

    images: Tensor
    found: Tensor
    labels: Tensor
    unreadable: tuple[Path, ...] = ()


class Ways(Sampler[Draw]):
    """Draws of another sampler, each in one of `count` ways that its image, or its pair, always has.

    A photograph and the image made of it are drawn in the same way: cut at the same place, altered alike.
    """

    def __init__(self, draws: Sampler[Draw], samples: Sequence[Sample], count: int, seed: int) -> None:
        self.draws, self.samples, self.count, self.seed = draws, samples, count, seed

    def __len__(self) -> int:
        return len(self.draws)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Draw]:
        for draw in self.draws:
            sample = self.samples[draw.index]
            name = crc32((sample.pair or sample.path.name).encode())
            way = int(np.random.default_rng(draw.seed).integers(self.count))
            yield Draw(draw.index, (self.seed, name, way))


def pattern_or_view(steps: Sequence[Step], rule: ViewRule, cutter: FaceCutter, store: Store) -> Prepare:
    """Cuts out the face, alters the image, cuts a view, and takes its pattern from the store if it is there.

    Views of original pixels lie at random places; what is resized is seen at the rule's.
    """
    cut = random_view(steps, rule) if rule.resize == "none" else _placed_view(steps, rule)

    def prepare(pixels: Pixels, rng: np.random.Generator) -> tuple[Plane, bool]:
        shown: Plane = cut(cutter.cut(pixels), rng)
        pattern = store.find(shown)
        return (shown, False) if pattern is None else (pattern, True)

    return prepare


def _placed_view(steps: Sequence[Step], rule: ViewRule) -> Prepare:
    def prepare(pixels: Pixels, rng: np.random.Generator) -> Plane:
        for step in steps:
            pixels = step(pixels, rng)
        shown: Plane = view([np.ascontiguousarray(pixels)], rule)[0]
        return shown

    return prepare


def loader(
    samples: Sequence[Sample],
    prepare: Prepare,
    *,
    batch: int,
    ways: int,
    seed: int,
    epoch: int,
    workers: int,
    rank: Distributed,
) -> Iterable[Views]:
    """The balanced batches of an epoch, a process's share. Raises SetupError where a class is missing."""
    if len({sample.label for sample in samples}) < 2:
        raise SetupError("training needs photographs and synthetic images; one of them is missing")
    balanced = BalancedSampler(samples, seed, epoch, rank.number, rank.world)
    return DataLoader(
        TrainingSet(samples, prepare),
        batch_size=batch,
        sampler=Ways(balanced, samples, ways, seed),
        num_workers=workers,
        collate_fn=_collate,
        drop_last=len(balanced) >= batch,
    )


def _collate(items: Sequence[tuple[tuple[Plane, bool], int] | Path]) -> Views:
    read = [item for item in items if isinstance(item, tuple)]
    images = np.stack([image for (image, _), _ in read]) if read else np.empty((0, 3, 1, 1), np.float32)
    return Views(
        torch.from_numpy(images),
        torch.tensor([found for (_, found), _ in read], dtype=torch.bool),
        torch.tensor([float(label) for _, label in read]),
        tuple(item for item in items if isinstance(item, Path)),
    )
