"""What the demo streams: crops and re-encodings of a folder of small images, and three that are none."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGES = Path(__file__).parent / "images"
CROP = 256
SEED = 7
KINDS = {"real": "photograph", "generated": "text-to-image", "fake": "remade photograph"}
"""What an image is, by the first part of its file's name."""


@dataclass(frozen=True)
class Upload:
    """One record: `kind` is what it really is: one of `KINDS`, "drawing" or "no image"."""

    name: str
    kind: str
    data: bytes


def uploads() -> list[Upload]:
    """Some three hundred records in an order that mixes all kinds; the same every time."""
    random = np.random.default_rng(SEED)
    made = [*_bad()]
    for file in sorted(IMAGES.glob("*.jpg")):
        kind = KINDS[file.name.split("-")[0]]
        made.append(Upload(file.name, kind, file.read_bytes()))
        with Image.open(file) as image:
            made += [Upload(f"{file.stem}/{name}", kind, data) for name, data in _variants(image, random)]
    return [made[number] for number in random.permutation(len(made))]


def _variants(image: Image.Image, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    quality = int(random.integers(80, 97))
    yield f"quality-{quality}.jpg", _encode(image, "JPEG", quality=quality)
    yield "lossless.png", _encode(image, "PNG")
    yield "quality-90.webp", _encode(image, "WEBP", quality=90)
    for number in range(2):
        side = [min(CROP, length) for length in image.size]
        left, top = (
            int(random.integers(0, length - part + 1)) for length, part in zip(image.size, side, strict=True)
        )
        crop = image.crop((left, top, left + side[0], top + side[1]))
        yield f"crop-{number}.jpg", _encode(crop, "JPEG", quality=int(random.integers(80, 97)))


def _bad() -> Iterator[Upload]:
    file = min(IMAGES.glob("*.jpg"))
    data = file.read_bytes()
    yield Upload("corrupt.jpg", "no image", data[: len(data) // 2])
    yield Upload("notes.txt", "no image", b"This is a text file that somebody uploaded.\n")
    yield Upload("drawing.gif", "drawing", _encode(Image.radial_gradient("L"), "GIF"))


def _encode(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
