"""Training images as a torch data set: decoded, augmented and cut to a view, each from its own seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import Pixels, Step
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Balance, Sample

Prepare: TypeAlias = Callable[[Pixels, np.random.Generator], Any]
"""Augments an image and makes of it what the network of a kind sees."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample of an epoch: which, and the seed of its augmentation."""

    index: int
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (B, 3, S, S) float32, labels (B,) float32, and the files that could not be read."""

    images: Tensor
    labels: Tensor
    unreadable: tuple[Path, ...] = ()


class TrainingSet(Dataset[tuple[Any, int] | Path]):
    """Samples made ready for a network; an unreadable file yields its path instead."""

    def __init__(self, samples: Sequence[Sample], prepare: Prepare) -> None:
        self.samples = samples
        self.prepare = prepare

    def __getitem__(self, draw: Draw) -> tuple[Any, int] | Path:
        sample = self.samples[draw.index]
        try:
            pixels = read_pixels(sample.path)
        except (OSError, Refused):
            return sample.path
        return self.prepare(pixels, np.random.default_rng(draw.seed)), sample.label


class BalancedSampler(Sampler[Draw]):
    """An epoch of about as many draws as there are samples: in turn a photograph and a synthetic image.

    Generators take equal turns, whatever their numbers of files, and so do the images of each. An image comes
    with the photograph that it was made of, if the data say which: both get the same seed, so the same crop
    and augmentation, and differ in nothing but the generator's work. Else photographs take turns too.
    Everything follows from `seed` and `epoch`. Of `world` processes, each gets every world-th couple.

    balance: `generators` is the above. With `sources` generators and sources of photographs alike are drawn
        at random, each as often as the square root of its number of images: a source of two images is neither
        lost nor learnt by heart, and one of a thousand does not decide alone.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        seed: int,
        epoch: int,
        number: int = 0,
        world: int = 1,
        balance: Balance = "generators",
    ) -> None:
        self.samples = samples
        self.balance = balance
        self.seed = seed
        self.epoch = epoch
        self.number, self.world = number, world

    def __len__(self) -> int:
        return len(self.samples) // (2 * self.world) * 2

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self.seed, self.epoch))
        photos = [index for index, sample in enumerate(self.samples) if not sample.label]
        of_pair = {self.samples[index].pair: index for index in photos if self.samples[index].pair}
        if self.balance == "sources":
            others, synthetic = self._by_root(0, rng), self._by_root(1, rng)
        else:
            others, synthetic = _endless(np.array(photos), rng), self._synthetic(rng)
        for position in range(len(self) // 2 * self.world):
            chosen, seed = next(synthetic), (self.seed, self.epoch, position)
            photo = of_pair.get(self.samples[chosen].pair)
            real = Draw(next(others), (*seed, 1)) if photo is None else Draw(photo, seed)
            if position % self.world == self.number:
                yield real
                yield Draw(chosen, seed)

    def _synthetic(self, rng: np.random.Generator) -> Iterator[int]:
        turns = [_endless(np.array(indices), rng) for indices in self._groups(1)]
        while True:
            for turn in turns:
                yield next(turn)

    def _by_root(self, label: int, rng: np.random.Generator) -> Iterator[int]:
        groups = self._groups(label)
        shares = np.sqrt([len(indices) for indices in groups])
        turns = [_endless(np.array(indices), rng) for indices in groups]
        while True:
            yield next(turns[rng.choice(len(turns), p=shares / shares.sum())])

    def _groups(self, label: int) -> list[list[int]]:
        """Indices of the images with this label, by generator or source."""
        groups: dict[str, list[int]] = {}
        for index, sample in enumerate(self.samples):
            if sample.label == label:
                groups.setdefault(sample.group, []).append(index)
        return list(groups.values())


def _endless(indices: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        for index in rng.permutation(indices):
            yield int(index)


def random_view(steps: Sequence[Step], *rules: ViewRule, whole: bool = False) -> Prepare:
    """Augments an image, then cuts one view at a random place by one of `rules`, drawn evenly.

    Of an image larger than twice the view a part, two to three times as large as the view, is taken first,
    unless `whole`: most steps are local, and a photograph of 12 megapixels then costs no more than a small
    one. Each place of the image is as likely as any other all the same.
    """

    def prepare(pixels: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
        rule = rules[rng.integers(len(rules))] if len(rules) > 1 else rules[0]
        if not whole:
            pixels = _part(pixels, rule.size, rng)
        for step in steps:
            pixels = step(pixels, rng)
        height, width = rule.room(*pixels.shape[:2])
        offset = rng.integers(0, (height - rule.size, width - rule.size), dtype=np.int32, endpoint=True)
        cut: NDArray[np.float32] = view([np.ascontiguousarray(pixels)], rule, offset.reshape(1, 1, 2))[0]
        return cut

    return prepare


def _part(pixels: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A random part to cut a view of `size` pixels from, evenly at any place of the whole.

    Along an axis the places of a view are shared out among parts, neighbours overlapping by a view less a
    pixel. A part is drawn as often as it has places: drawn evenly, views at the border would be rare.
    """
    height, width = pixels.shape[:2]
    rows, columns = _span(height, size, rng), _span(width, size, rng)
    return pixels[rows, columns]


def _span(length: int, size: int, rng: np.random.Generator) -> slice:
    places = length - size + 1
    parts = places // (size + 1)
    if parts < 2:
        return slice(None)
    drawn = int(rng.integers(places)) * parts // places
    first, after = -(-drawn * places // parts), -(-(drawn + 1) * places // parts)
    return slice(first, after - 1 + size)


def loader(
    samples: Sequence[Sample],
    prepare: Prepare,
    *,
    batch: int,
    seed: int,
    epoch: int,
    workers: int,
    number: int = 0,
    world: int = 1,
    collate: Callable[[Sequence[tuple[Any, int] | Path]], Any] | None = None,
    balance: Balance = "generators",
) -> "DataLoader[Any]":
    """The balanced batches of one epoch, made by `workers` processes (0: by this one).

    Of `world` processes that train together number `number` gets these. `collate` makes a batch of pairs of
    what `prepare` gave and the label, or of the path where a file could not be read; else views are stacked.
    Raises SetupError where one of the classes is missing.
    """
    if len({sample.label for sample in samples}) < 2:
        raise SetupError("training needs photographs and synthetic images; one of them is missing")
    sampler = BalancedSampler(samples, seed, epoch, number, world, balance)
    return DataLoader(
        TrainingSet(samples, prepare),
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate or _stack,
        drop_last=len(sampler) >= batch,
    )


def _stack(items: Sequence[tuple[NDArray[np.float32], int] | Path]) -> Batch:
    read = [item for item in items if isinstance(item, tuple)]
    views = np.stack([view for view, _ in read]) if read else np.empty((0, 3, 1, 1), np.float32)
    return Batch(
        torch.from_numpy(views),
        torch.tensor([float(label) for _, label in read]),
        tuple(item for item in items if isinstance(item, Path)),
    )
