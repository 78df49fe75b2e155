"""Share of damaged files that are noticed, by format and kind of damage.

    python -m assay.bench.corruption [FOLDER] [--pictures 8] [--damages 6]

Pictures are the images of FOLDER, or two photographs that come with scikit-learn and made ones: light that
varies over several scales, with sensor noise. Each is written in every form and damaged at random places
behind its headers, the same in every run; a file is noticed where it is refused. What is not noticed is
compared with the whole file's pixels: it is visibly damaged where more than 1 % of them differ by more than
8 of 255 in a channel.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from assay.bench.provenance import provenance
from assay.engine.admission import admit
from assay.engine.decode.turbo import decode_one
from assay.engine.load.images import made
from assay.engine.outcome import Refused
from assay.engine.report.markdown import table
from assay.engine.settings import Limits

Pixels = NDArray[np.uint8]
Damage = Callable[[bytes, int, np.random.Generator], bytes]
"""A damaged form of a file, of which the first N bytes are headers."""

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG 4:2:0, quality 85": ("JPEG", {"quality": 85}),
    "JPEG 4:4:4, quality 95, its own Huffman tables": (
        "JPEG",
        {"quality": 95, "subsampling": 0, "optimize": True},
    ),
    "JPEG with restart markers": ("JPEG", {"quality": 85, "restart_marker_rows": 1}),
    "JPEG progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {}),
    "WebP lossless": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF, uncompressed": ("TIFF", {}),
    "BMP": ("BMP", {}),
    "AVIF": ("AVIF", {"speed": 10}),
}
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"\0\0\0\0IEND\xaeB\x60\x82", "GIF": b"\0;"}


def place(data: bytes, headers: int, random: np.random.Generator, length: int = 1) -> int:
    return int(random.integers(headers, max(headers + 1, len(data) - length - 16)))


def overwritten(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


def flipped(data: bytes, at: int, random: np.random.Generator) -> bytes:
    return overwritten(data, at, bytes([data[at] ^ 1 << int(random.integers(8))]))


def lost(data: bytes, headers: int, random: np.random.Generator) -> bytes:
    at = place(data, headers, random, 100)
    return data[:at] + data[at + 100 :]


DAMAGES: dict[str, Damage] = {
    "1 bit flipped": lambda data, headers, random: flipped(data, place(data, headers, random), random),
    "40 bytes zero": lambda data, headers, random: overwritten(
        data, place(data, headers, random, 40), bytes(40)
    ),
    "512 bytes noise": lambda data, headers, random: overwritten(
        data, place(data, headers, random, 512), random.bytes(512)
    ),
    "4096 bytes zero": lambda data, headers, random: overwritten(
        data, place(data, headers, random, 4096), bytes(4096)
    ),
    "100 bytes lost": lost,
    "cut": lambda data, headers, random: data[: place(data, headers, random)],
    "cut, with an end": lambda data, headers, random: (
        data[: place(data, headers, random)] + ENDS.get(_kind(data), b"")
    ),
    "1 bit of the headers": lambda data, headers, random: flipped(
        data, int(random.integers(headers)), random
    ),
}


def _kind(data: bytes) -> str:
    return {b"\xff\xd8": "JPEG", b"\x89P": "PNG", b"GI": "GIF"}.get(data[:2], "")


def headers_of(data: bytes, format: str) -> int:
    """Bytes before the coded pixels."""
    with Image.open(io.BytesIO(data)) as image:
        match format:
            case "JPEG":
                scan = admit(data, Limits(), 1).scan
                return scan + int.from_bytes(data[scan : scan + 2], "big")
            case "PNG":
                return data.index(b"IDAT") + 4
            case "AVIF":
                return data.index(b"mdat") + 4
            case "TIFF":
                return int(image.tag_v2[273][0])  # type: ignore[attr-defined]  # the first strip's offset
            case "WEBP":
                return 30
            case "GIF":
                return 13 + 3 * 256 + 11
            case _:
                return 54  # BMP


def pictures(folder: Path | None, count: int) -> Iterator[Image.Image]:
    if folder is not None:
        for path in sorted(folder.iterdir())[:count]:
            with Image.open(path) as image:
                yield image.convert("RGB")
        return
    from sklearn.datasets import load_sample_images

    yield from map(Image.fromarray, load_sample_images().images)
    for data in made(count - 2):
        yield Image.open(io.BytesIO(data))


def outcome(data: bytes, whole: Pixels) -> str:
    """What becomes of a damaged file: noticed, or how it differs from the whole one."""
    try:
        found = decode_one((data, admit(data, Limits(), 1)))
    except Refused:
        return "noticed"
    if isinstance(found, Refused):
        return "noticed"
    if found.shape != whole.shape:
        return "visible"
    differing = np.abs(found.astype(np.int16) - whole).max(axis=2) > 8
    return "visible" if differing.mean() > 0.01 else "invisible"


def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of images instead.")] = None,
    pictures_: Annotated[int, typer.Option("--pictures")] = 8,
    damages: Annotated[int, typer.Option(help="Of each kind, a file.")] = 6,
) -> None:
    """Print tables in Markdown."""
    random = np.random.default_rng(0)
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    shown = list(pictures(folder, pictures_))
    for form, (format, options) in FORMS.items():
        for picture in shown:
            file = io.BytesIO()
            picture.save(file, format, **options)
            data = file.getvalue()
            whole = decode_one((data, admit(data, Limits(), 1)))
            if isinstance(whole, Refused):
                raise whole
            headers = headers_of(data, format)
            for kind, damage in DAMAGES.items():
                if kind == "cut, with an end" and format not in ENDS:
                    continue
                for _ in range(damages):
                    counts[form, kind][outcome(damage(data, headers, random), whole)] += 1
    print(f"{len(shown)} pictures, {damages} damages of each kind to each file.\n")
    print(provenance("simplejpeg", "pillow"), end="\n\n")
    for title, state in (("Noticed", "noticed"), ("Accepted and visibly damaged", "visible")):
        print(f"{title}, % of the damaged files:\n")
        shares = [[form, *(_share(counts.get((form, kind)), state) for kind in DAMAGES)] for form in FORMS]
        print(table([["", *DAMAGES], *shares]))


def _share(found: dict[str, int] | None, state: str) -> str:
    return "" if found is None else f"{100 * found.get(state, 0) / sum(found.values()):.0f}"


if __name__ == "__main__":
    typer.run(main)
