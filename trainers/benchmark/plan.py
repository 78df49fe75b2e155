"""What a build makes of one photograph. A plan follows from the seed and the photograph's id alone.

So adding a source changes nothing for the others, and an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from PIL import Image

from assay.trainers.benchmark import publish, views
from assay.trainers.benchmark.families import SLOW, FaceFamily, Family
from assay.trainers.benchmark.generators.dcgan import SIDE
from assay.trainers.benchmark.publish import FILTERS, Publication
from assay.trainers.benchmark.sources import Photo
from assay.trainers.benchmark.views import View
from assay.trainers.data.manifest import Split

_TRAIN, _VAL = 0.72, 0.86
"""Of the photographs of seen sources: up to the first train, up to the second val, the rest test-1."""

_WHOLE = 1000
"""Pairs of whole views are numbered from here."""

_LARGE = 2000
"""Pairs of large views are numbered from here."""

_LOSSLESS_AREA = 400_000
"""Larger views are always JPEG: losslessly they would be most of the benchmark's bytes."""

_WHOLE_SECONDS, _LARGE_SECONDS = 1.0, 2.0
"""A whole view, and a large one, gets only families that take no longer than this for it."""


@dataclass(frozen=True)
class Amounts:
    """How much a build makes.

    `train`, `held_out`: crops of a photograph, at most, in train and in each other split; `large`: views of a
    training photograph for detectors that look at whole images and patches of them (one in each other split);
    `synthetic`: images made of a training crop; `slow`: whether slow generators take part (in every
    second pair); `steps`: of training each autoencoder of our own.
    """

    train: int = 6
    held_out: int = 5
    large: int = 3
    synthetic: int = 3
    slow: bool = True
    steps: int = 800


FULL = Amounts()
LIGHT = Amounts(train=4, held_out=2, large=0, synthetic=2, slow=False, steps=400)


@dataclass(frozen=True)
class Job:
    """One pair: a view of a photograph, its publication, and the families that make images of it."""

    pair: str
    split: Split
    photo: Photo
    view: View
    publication: Publication
    reduction: Image.Resampling
    families: tuple[str, ...]


def splits(photo: Photo, seen: bool, seed: int) -> tuple[Split, ...]:
    """The splits that a photograph may be used in; of those that share one, neither is trained on."""
    if not seen:
        return ("test-2", "test-3")
    share = zlib.crc32(f"{seed}/{photo.id}".encode()) / 2**32
    return ("train",) if share < _TRAIN else ("val",) if share < _VAL else ("test-1",)


def jobs(photo: Photo, seen: bool, seed: int, families: Sequence[Family], amounts: Amounts) -> Iterator[Job]:
    """All pairs of crops, whole and large views of a photograph."""
    for split in splits(photo, seen, seed):
        most = amounts.train if split == "train" else amounts.held_out
        width, height = photo.size
        crops = int(np.clip(width * height / 320**2, 2, most))
        key = zlib.crc32(f"{photo.id}/{split}".encode())
        wholes = 2 if split == "train" and key % 2 else 1
        larges = amounts.large if split == "train" else min(amounts.large, 1)
        if min(photo.size) < views.LARGE[0]:
            larges = 0
        # Numbered apart, so that a build with more crops adds to one with fewer.
        numbers = range(crops), range(_WHOLE, _WHOLE + wholes), range(_LARGE, _LARGE + larges)
        for index in chain(*numbers):
            random = np.random.default_rng([seed, key, index])
            if index < _WHOLE:
                view = views.crop(random, photo.size)
            elif index >= _LARGE:
                view = views.large(random, photo.size)
            else:
                view = views.whole(random, photo.size, stored=bool(index % 2 if wholes == 2 else key & 2))
            area = view.width * view.height
            slow = amounts.slow and index % 2 == 0
            usable = [family for family in families if slow or family.seconds < SLOW]
            yield Job(
                pair=f"{photo.id.replace('/', '.')}.{split}.{index}",
                split=split,
                photo=photo,
                view=view,
                publication=publish.draw(random, lossless=area <= _LOSSLESS_AREA),
                reduction=FILTERS[random.integers(len(FILTERS))],
                families=_families(random, split, index, area, usable, amounts),
            )


def face_job(photo: Photo, split: Split, seed: int, families: Sequence[FaceFamily]) -> Job:
    """A portrait at 64 pixels beside faces from noise, which share only how they are published."""
    random = np.random.default_rng([seed, zlib.crc32(f"{photo.id}/face".encode())])
    publication = publish.draw(random)
    return Job(
        pair=f"{photo.id.replace('/', '.')}.{split}.face",
        split=split,
        photo=photo,
        view=views.face(photo.size, SIDE),
        publication=Publication(publication.quality, publication.subsampling),
        reduction=Image.Resampling.BOX,
        families=tuple(one.name for one in families if (one.role == "unseen") == (split == "test-1")),
    )


def _families(
    random: np.random.Generator,
    split: Split,
    index: int,
    area: int,
    usable: Sequence[Family],
    amounts: Amounts,
) -> tuple[str, ...]:
    unseen, is_crop = split in ("test-1", "test-3"), index < _WHOLE
    bearable = _LARGE_SECONDS if index >= _LARGE else _WHOLE_SECONDS
    able = [
        family
        for family in usable
        if (family.role == "unseen") == unseen
        and not (split == "train" and family.role != "train")
        and (is_crop or family.seconds * area / 256**2 < bearable)
    ]
    if not is_crop:
        count = 2 if area < _LOSSLESS_AREA or index >= _LARGE else 1
    elif unseen:
        count = len(able)
    else:
        count = amounts.synthetic if split == "train" else 5
    # Cheap families come more often: they are what a build has time for.
    weights = np.array([1 / (0.02 + family.seconds) for family in able])
    chosen = random.choice(len(able), min(count, len(able)), replace=False, p=weights / weights.sum())
    return tuple(able[index].name for index in sorted(chosen))
