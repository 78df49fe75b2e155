"""Packages made on the spot: archives of small made-up photographs, and a fetcher that hands them out."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from support.photos import scene

from assay.trainers.benchmark.packages import Fetch, Package, PackageError, npm
from assay.trainers.benchmark.sources import Source

SEEN = npm("seen-photos", "1.0.0")
UNSEEN = npm("unseen-photos", "1.0.0")
NETWORKS = npm("networks", "1.0.0")


def write_photos(folder: Path, count: int, side: int, seed: int) -> None:
    """JPEG scenes `0.jpg`, `1.jpg`, ... of `side` x 1.5 `side` pixels, in two qualities and samplings."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = scene(np.random.default_rng([seed, number]), side, side * 3 // 2)
        image = Image.fromarray(pixels)
        if number % 2:
            image.save(folder / f"{number}.jpg", quality=75, subsampling="4:2:0")
        else:
            image.save(folder / f"{number}.jpg", quality=92, subsampling="4:4:4")


def archives(trees: Mapping[Package, Path]) -> Fetch:
    """A fetcher of .tgz archives of these folders; any other package cannot be had."""

    def fetch(package: Package, folder: Path) -> Path:
        if package not in trees:
            raise PackageError(f"{package} is not there")
        path = folder / "package.tgz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(trees[package], "package")
        return path

    return fetch


def sources() -> tuple[Source, Source]:
    """Two sources over `SEEN` and `UNSEEN`."""
    return (
        Source("seen", (SEEN,), r"\.jpg$", least=96),
        Source("unseen", (UNSEEN,), r"\.jpg$", seen=False, least=96),
    )
