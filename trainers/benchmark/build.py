"""Builds the small benchmark: views of photographs, synthetic images of each, and a manifest.

The build goes in stages by what generators cost, and writes the manifest after each: the first is usable
within minutes. What is there already is not made again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from assay.engine.errors import SetupError
from assay.trainers.benchmark.families import FACE_FAMILIES, FAMILIES, RECIPES, SLOW, FaceFamily, Family
from assay.trainers.benchmark.files import Files
from assay.trainers.benchmark.generators.network import Network, Pixels, reconstruct
from assay.trainers.benchmark.packages import Store
from assay.trainers.benchmark.plan import FULL, Amounts, Job, face_job, jobs, splits
from assay.trainers.benchmark.publish import History, history
from assay.trainers.benchmark.sources import SOURCES, Photo, Source, collect
from assay.trainers.data import manifest


class Progress(Protocol):
    """Called with what is being done, how much of it is done and how much there is."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


_WRITE_EVERY = 25
"""Number of photographs after which the manifest is written, so that an unfinished build can be used."""


class FaultyGeneratorError(SetupError):
    """A generator brings back something that its network cannot have meant."""


@dataclass
class Report:
    """What a build did: photographs by source and unreadable, files made and kept.

    `psnr`: of what each family brought back in this build, the mean in dB.
    """

    photos: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    made: int = 0
    kept: int = 0
    psnr: dict[str, float] = field(default_factory=dict)


class Benchmark:
    """A benchmark in `folder`; unpacked packages in `store`. The same `seed` makes the same files."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        seed: int = 0,
        amounts: Amounts = FULL,
        sources: Sequence[Source] = SOURCES,
        families: Sequence[Family] = FAMILIES,
        face_families: Sequence[FaceFamily] = FACE_FAMILIES,
        progress: Progress = lambda what, done, total: None,
    ) -> None:
        self.folder = folder
        self._store = store
        self._seed = seed
        self._amounts = amounts
        self._sources = {source.name: source for source in sources}
        self._families = families
        self._face_families = face_families
        self._progress = progress
        self._files = Files(folder)
        self._report = Report()
        self._psnr: dict[str, list[float]] = {}

    def build(self) -> Report:
        """Makes all files and the manifest.

        Raises PackageError when a package cannot be had and FaultyGeneratorError when what a family brings
        back is, on average, further from its input than its network can be.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        photos = self._photos()
        own = [family for family in self._families if family.package is None]
        slow = [family for family in self._families if family.seconds >= SLOW]
        quick = [family for family in self._families if family not in own and family not in slow]
        self._recall(photos)
        self._faces(photos)
        self._synthetic_images("synthetic images", quick, photos)
        self._write()
        if own:
            self._train([family.name for family in own])
            self._synthetic_images("synthetic images by our autoencoders", own, photos)
            self._write()
        if slow and self._amounts.slow:
            self._synthetic_images("synthetic images by slow generators", slow, photos)
            self._write()
        return self._report

    def _write(self) -> None:
        self._report.made, self._report.kept = self._files.made, self._files.kept
        (self.folder / "report.json").write_text(json.dumps(vars(self._report), indent=2) + "\n")
        manifest.write(self._files.records.values(), self.folder)

    def _photos(self) -> list[Photo]:
        packages = [package for source in self._sources.values() for package in source.packages]
        packages += [family.package for family in self._families if family.package]
        packages += [family.package for family in self._face_families]
        distinct = list(dict.fromkeys(packages))
        for index, package in enumerate(distinct):
            self._progress("packages", index, len(distinct))
            self._store.path(package)
        self._progress("packages", len(distinct), len(distinct))
        photos, self._report.unreadable = collect(self._store, list(self._sources.values()))
        for photo in photos:
            self._report.photos[photo.source] = self._report.photos.get(photo.source, 0) + 1
        # In no order of sources, so that what there is of an unfinished build is of every kind.
        return sorted(photos, key=lambda photo: zlib.crc32(photo.id.encode()))

    def _recall(self, photos: Sequence[Photo]) -> None:
        """Records what an earlier build made, so that the manifest never says less than it did."""
        for photo in photos:
            for job in self._jobs(photo):
                self._missing(job, job.families)

    def _jobs(self, photo: Photo) -> Iterator[Job]:
        seen = self._sources[photo.source].seen
        return jobs(photo, seen, self._seed, self._families, self._amounts)

    def _synthetic_images(self, what: str, families: Sequence[Family], photos: Sequence[Photo]) -> None:
        """Makes what `families` make of all photographs, and the real files that it stands beside."""
        known = {family.name: family for family in families}
        networks: dict[str, Network] = {}
        for index, photo in enumerate(photos):
            self._progress(what, index, len(photos))
            if index % _WRITE_EVERY == _WRITE_EVERY - 1:
                self._write()
            todo = {
                job: missing
                for job in self._jobs(photo)
                if (missing := self._missing(job, [name for name in job.families if name in known]))
            }
            if not todo:
                continue
            picture, past = _decode(photo.path)
            for job, missing in todo.items():
                real = job.view.cut(picture)
                for name in missing:
                    if not name:
                        self._files.save(job, "", real)
                        continue
                    if name not in networks:
                        networks[name] = known[name].network(self._store, self.folder / "networks")
                    image = self._synthetic_image(job, known[name], networks[name], real)
                    repeated = image if job.view.reduced or past is None else past.repeat(image)
                    self._files.save(job, name, repeated)
        self._progress(what, len(photos), len(photos))
        for family in families:
            self._check(family)

    def _missing(self, job: Job, families: Sequence[str]) -> list[str]:
        return [name for name in ("", *families) if not self._files.keep(job, name)]

    def _synthetic_image(self, job: Job, family: Family, network: Network, real: Pixels) -> Pixels:
        image = reconstruct(network, real, family.scale, job.reduction, family.tiled)
        error = float(np.square(image.astype(np.float32) - real).mean())
        values = self._psnr.setdefault(family.name, [])
        values.append(10 * np.log10(255**2 / max(error, 1e-3)))
        if len(values) == 32:
            self._check(family)  # a broken network is found before an hour of its work is stored
        return image

    def _check(self, family: Family) -> None:
        if family.name not in self._psnr:
            return
        psnr = round(float(np.mean(self._psnr[family.name])), 2)
        self._report.psnr[family.name] = psnr
        if family.floor is not None and psnr < family.floor:
            raise FaultyGeneratorError(
                f"{family.name} brings photographs back at {psnr} dB on average, below its floor of "
                f"{family.floor} dB: its weights or their loading are at fault"
            )

    def _faces(self, photos: Sequence[Photo]) -> None:
        """The portraits at 64 pixels, and the faces from noise that stand beside them."""
        portraits = [photo for photo in photos if self._sources[photo.source].portraits]
        samplers = {
            family.name: family.load(self._store.path(family.package)) for family in self._face_families
        }
        for index, photo in enumerate(portraits):
            self._progress("faces", index, len(portraits))
            split = splits(photo, self._sources[photo.source].seen, self._seed)[0]
            job = face_job(photo, split, self._seed, self._face_families)
            for name in self._missing(job, job.families):
                seed = zlib.crc32(job.pair.encode())
                image = samplers[name](seed) if name else job.view.cut(_decode(photo.path)[0])
                self._files.save(job, name, image)
        self._progress("faces", len(portraits), len(portraits))

    def _train(self, names: Sequence[str]) -> None:
        """Trains the autoencoders that are not there yet, on reduced crops of the training split alone."""
        import torch

        from assay.trainers.benchmark.generators import autoencoder

        folder = self.folder / "networks"
        folder.mkdir(exist_ok=True)
        wanted = [recipe for recipe in RECIPES if recipe.name in names]
        missing = [recipe for recipe in wanted if not (folder / f"{recipe.name}.pt").exists()]
        images = [
            np.asarray(Image.open(self.folder / record.path).convert("RGB"))
            for record in (self._files.records.values() if missing else ())
            if (record.split, record.label, record.view) == ("train", "real", "crop") and record.scale > 1.0
        ]
        for recipe in missing:
            progress = partial(self._progress, f"training {recipe.name}", total=self._amounts.steps)
            model = autoencoder.train(images, recipe.upsampler, self._amounts.steps, recipe.seed, progress)
            scratch = folder / f".{recipe.name}.pt"
            torch.save(model.state_dict(), scratch)
            scratch.replace(folder / f"{recipe.name}.pt")


def _decode(path: Path) -> tuple[Image.Image, History | None]:
    """A photograph as an RGB picture, and the compression that it has behind it."""
    with Image.open(path) as picture:
        return picture.convert("RGB"), history(picture)
