"""Pictures in rows on one page, with words below."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from assay.engine.explain.sheet import INK, font, wrapped

SIDE, GAP, TEXT, LINE = 160, 4, 12, 16
"""Of a picture, between pictures, of letters, and from one line of words to the next, in pixels."""


@dataclass(frozen=True)
class Column:
    """Pictures one below the other, and the words below them, in as many lines as they need."""

    pictures: Sequence[Image.Image]
    words: Sequence[str] = ()


def page(rows: Sequence[Sequence[Column]]) -> Image.Image:
    """A page of rows; its columns are SIDE wide, and each picture is fitted into SIDE squared."""
    heights = [
        max(len(one.pictures) for one in row) * SIDE + max(len(_lines(one)) for one in row) * LINE + GAP
        for row in rows
    ]
    sheet = Image.new("RGB", (max(map(len, rows)) * SIDE, sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for place, column in enumerate(row):
            left, y = place * SIDE + GAP // 2, top + GAP // 2
            for picture in column.pictures:
                fitted = picture.resize((SIDE - GAP, SIDE - GAP), Image.Resampling.BICUBIC)
                sheet.paste(fitted, (left, y))
                y += SIDE
            for line in _lines(column):
                draw.text((left, y - GAP // 2), line, INK, font(TEXT))
                y += LINE
        top += height
    return sheet


def _lines(column: Column) -> list[str]:
    return [line for words in column.words for line in wrapped(words, TEXT, SIDE - 2 * GAP)]
