"""How an image is made public: perhaps resized, then stored as a JPEG of some quality or losslessly.

A pair's real file and its synthetic images are published by the same draw, so that neither size nor format
nor compression separates them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, JpegImagePlugin

from assay.trainers.benchmark.generators.network import Pixels

FILTERS = (
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
)


@dataclass(frozen=True)
class Publication:
    """One draw. `quality` None: lossless (PNG). `resize`: the factor on both sides, 1 for none."""

    quality: int | None
    subsampling: Literal["4:2:0", "4:4:4"]
    resize: float = 1.0
    filter: Image.Resampling = Image.Resampling.LANCZOS

    @property
    def suffix(self) -> str:
        return ".png" if self.quality is None else ".jpg"

    def save(self, image: Pixels, path: Path) -> tuple[int, int]:
        """Writes `image` to `path` in one step and returns the (width, height) it was given."""
        picture = Image.fromarray(image)
        if self.resize != 1.0:
            width, height = (max(1, round(side * self.resize)) for side in picture.size)
            picture = picture.resize((width, height), self.filter)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}")
        if self.quality is None:
            picture.save(scratch, "PNG", compress_level=3)
        else:
            picture.save(scratch, "JPEG", quality=self.quality, subsampling=self.subsampling)
        scratch.replace(path)
        return picture.size


def draw(random: np.random.Generator, lossless: bool = True) -> Publication:
    """A random publication: a quarter lossless (if allowed), most JPEG qualities 80-96, some down to 50.

    A quarter is resized by 0.6 to 1.3 after it was made, as images on the web are.
    """
    quality = int(random.integers(80, 97) if random.random() < 0.6 else random.integers(50, 99))
    without_loss = random.random() < 0.25 and lossless
    resize = round(float(random.uniform(0.6, 1.3)), 3) if random.random() < 0.25 else 1.0
    return Publication(
        quality=None if without_loss else quality,
        subsampling="4:2:0" if random.random() < 0.75 else "4:4:4",
        resize=resize,
        filter=FILTERS[random.integers(3)],
    )


@dataclass(frozen=True)
class History:
    """The compression that a photograph has behind it: its JPEG tables and chroma subsampling."""

    tables: dict[int, list[int]]
    subsampling: int

    def repeat(self, image: Pixels) -> Pixels:
        """`image` after the same compression, on the same grid of blocks if it begins on a block.

        A crop at stored size keeps the traces of its file's compression; where a synthetic image lacks
        them, their absence is what a detector learns.
        """
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", qtables=self.tables, subsampling=self.subsampling)
        with Image.open(buffer) as stored:
            return np.asarray(stored.convert("RGB"))


def history(picture: Image.Image) -> History | None:
    """The history of an opened colour JPEG; None for any other file."""
    if not isinstance(picture, JpegImagePlugin.JpegImageFile) or len(picture.getbands()) != 3:
        return None
    subsampling = JpegImagePlugin.get_sampling(picture)
    if subsampling < 0:
        return None
    return History({index: list(table) for index, table in picture.quantization.items()}, subsampling)
