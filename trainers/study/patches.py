"""Pictures of what Fusing looks at: the selected patches, drawn into the photograph they were cut from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection, Stopwatch
from assay.trainers.data.augment import Pixels
from assay.trainers.evaluate.means import Means, ready

COLOURS = ("#ff3b30", "#0a84ff")
"""Of the larger patches and the smaller ones."""


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
        colour = COLOURS[_side(patch["box"]) < largest] + f"{opacity:02x}"
        ImageDraw.Draw(layer).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)
        base = Image.alpha_composite(base, layer)
    return base.convert("RGB")


def sheet(pictures: Sequence[Image.Image], side: int = 384, columns: int = 4) -> Image.Image:
    """The pictures, none larger than `side`, in rows on one page."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * side, rows * side), "white")
    for number, picture in enumerate(pictures):
        small = picture.copy()
        small.thumbnail((side - 8, side - 8))
        row, column = divmod(number, columns)
        page.paste(
            small, (column * side + (side - small.width) // 2, row * side + (side - small.height) // 2)
        )
    return page


def _side(box: Sequence[int]) -> int:
    return int(np.max(np.subtract(box[2:], box[:2])))
