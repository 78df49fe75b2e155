"""Pictures of what Fusing looks at: the selected patches, drawn into the photograph they were cut from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection, Stopwatch
from assay.engine.explain.sheet import INK, TAG, font, tag, wrapped
from assay.trainers.data.augment import Pixels
from assay.trainers.evaluate.means import Means, ready
from assay.trainers.study.page import LINE, TEXT

COLOURS = ((255, 59, 48), (10, 132, 255))
"""Of the larger patches and the smaller ones."""
SIDE, COLUMNS, GAP = 384, 4, 4
"""Of a cell of the sheet, in pixels, cells in a row, and between a picture and the end of its cell."""


def looked_at(bundle: Bundle, images: Sequence[Pixels], means: Means | None = None) -> list[Detection]:
    """What the detector of a fusing bundle finds, image by image."""
    made = ready(bundle, means or Means())
    return [made.detect([image], made.graphs, Stopwatch())[0] for image in images]


def drawn(pixels: Pixels, evidence: Mapping[str, Any]) -> Image.Image:
    """The image with its patches framed, each frame as opaque as its share of the attention."""
    base = Image.fromarray(pixels).convert("RGBA")
    width = max(2, round(min(base.size) / 120))
    patches = evidence["patches"]
    most = max(patch["attention"] for patch in patches)
    largest = max(_side(patch["box"]) for patch in patches)
    for patch in sorted(patches, key=lambda patch: float(patch["attention"])):
        layer = Image.new("RGBA", base.size)
        top, left, bottom, right = patch["box"]
        opacity = round(75 + 180 * patch["attention"] / most) if most else 255
        colour = (*COLOURS[_side(patch["box"]) < largest], opacity)
        ImageDraw.Draw(layer).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)
        base = Image.alpha_composite(base, layer)
    return base.convert("RGB")


def sheet(found: Mapping[str, tuple[Pixels, Mapping[str, Any]]]) -> Image.Image:
    """Images with what a detector found in them, by name, none larger than SIDE, in rows on one page: patches
    are framed and numbered; below are the name and the attention of each patch and of the whole image."""
    cells = [(_numbered(drawn(*one), one[1]["patches"]), _words(name, one[1])) for name, one in found.items()]
    columns = min(COLUMNS, len(cells))
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    heights = [SIDE + LINE * max(len(words) for _, words in row) for row in rows]
    page = Image.new("RGB", (columns * SIDE, sum(heights)), "white")
    draw = ImageDraw.Draw(page)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, (picture, words) in enumerate(row):
            left = column * SIDE
            page.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
            for number, line in enumerate(words):
                draw.text((left + GAP, top + SIDE + number * LINE), line, INK, font(TEXT))
        top += height
    return page


def _numbered(picture: Image.Image, patches: Sequence[Mapping[str, Any]]) -> Image.Image:
    """As large as a cell of the sheet allows, each patch with its number at its top left."""
    scale = (SIDE - 2 * GAP) / max(picture.size)
    small = picture.resize([max(1, round(scale * side)) for side in picture.size], Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(small)
    taken: list[tuple[int, int]] = []
    largest = max(_side(patch["box"]) for patch in patches)
    for number, patch in enumerate(patches, start=1):
        top, left = (round(scale * place) for place in patch["box"][:2])
        while any(abs(left - x) <= TAG and abs(top - y) <= TAG for x, y in taken):  # patches may overlap
            top += 1
        taken.append((left, top))
        tag(draw, (left, top), str(number), COLOURS[_side(patch["box"]) < largest])
    return small


def _words(name: str, evidence: Mapping[str, Any]) -> list[str]:
    shares = [patch["attention"] for patch in evidence["patches"]]
    each = ", ".join(f"{number}: {share:.3f}" for number, share in enumerate(shares, start=1))
    attention = f"attention of {each}; of the whole image: {1 - sum(shares):.3f}"
    return [line for words in (name, attention) for line in wrapped(words, TEXT, SIDE - 2 * GAP)]


def _side(box: Sequence[int]) -> int:
    return int(np.max(np.subtract(box[2:], box[:2])))
