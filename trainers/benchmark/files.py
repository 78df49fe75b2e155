"""The files of a benchmark: `split/real/…` and `split/<family>/…`, each with its record."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from assay.trainers.benchmark.generators.network import Pixels
from assay.trainers.benchmark.plan import Job
from assay.trainers.data.manifest import Record


class Files:
    """Saves images under `folder` and remembers what each is. The family "" stands for the real file."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, Record] = {}
        self.made = 0
        self.kept = 0
        self._folder = folder

    def keep(self, job: Job, family: str) -> bool:
        """Whether the file is there already; if so it is recorded."""
        name = _name(job, family)
        if name in self.records:
            return True
        try:
            with Image.open(self._folder / name) as picture:
                size = picture.size
        except FileNotFoundError:
            return False
        self.kept += 1
        self._record(name, job, family, size)
        return True

    def save(self, job: Job, family: str, image: Pixels) -> None:
        """Publishes `image` as the job says, and records it."""
        name = _name(job, family)
        self.made += 1
        self._record(name, job, family, job.publication.save(image, self._folder / name))

    def _record(self, name: str, job: Job, family: str, size: tuple[int, int]) -> None:
        self.records[name] = Record(
            path=name,
            label="fake" if family else "real",
            split=job.split,
            view=job.view.kind,
            pair=job.pair,
            photo=job.photo.id,
            source=job.photo.source,
            family=family,
            scale=round(job.view.scale, 4),
            quality=job.publication.quality,
            width=size[0],
            height=size[1],
        )


def _name(job: Job, family: str) -> str:
    return f"{job.split}/{family or 'real'}/{job.pair}{job.publication.suffix}"
