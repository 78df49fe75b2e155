"""JPEG data within a TIFF: each strip or tile is a JPEG, without the tables that all of them share."""

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import read_header
from assay.engine.decode import jpeg
from assay.engine.decode.tiff import layout as tags
from assay.engine.decode.tiff.layout import Layout
from assay.engine.decode.tiff.parts import packed
from assay.engine.outcome import Reason, Refused

_MAX_SCANS = 100
_SCAN, _JFIF, _ADOBE = 0xDA, 0xE0, 0xEE


def decode(data: bytes | memoryview, layout: Layout, pixels: NDArray[np.uint8]) -> None:
    """Decode every strip or tile strictly into its place in `pixels` (height, width, 3).

    Raises:
        Refused: `truncated` or `undecodable`: what a strip or tile is.
        IndexError: the data end within a part's headers.
    """
    shared = _segments(layout.tables) if layout.tables else b""
    planes = layout.samples if layout.planar else 1
    for place in range(layout.places):
        row, column = divmod(place, layout.across)
        top, left = row * layout.part_height, column * layout.part_width
        target = pixels[top : top + layout.part_height, left : left + layout.part_width]
        for plane in range(planes):
            part = packed(data, layout, plane * layout.places + place)
            found = _part(b"\xff\xd8" + _colours(layout) + shared + _segments(part), layout, place)
            found = found[: target.shape[0], : target.shape[1]]
            if planes > 1:
                target[..., plane] = found[..., 0]
            else:
                target[:] = 255 - found if layout.photometric == tags.WHITE_IS_ZERO else found


def _part(stream: bytes, layout: Layout, place: int) -> NDArray[np.uint8]:
    inner = read_header(stream, _MAX_SCANS)
    rows = layout.rows(place)
    components = 1 if layout.planar else layout.samples
    if (
        inner.width != layout.part_width
        or inner.height > layout.part_height
        or inner.components != components
    ):
        raise Refused(
            Reason.UNDECODABLE,
            f"A strip or tile of the TIFF has {layout.part_width}x{rows} pixels of {components} samples, its "
            f"JPEG data {inner.width}x{inner.height} of {inner.components}.",
            format="tiff",
            width=layout.width,
            height=layout.height,
        )
    if inner.height < rows:
        raise Refused(
            Reason.TRUNCATED,
            f"The JPEG data of a strip or tile of the TIFF hold {inner.height} of {rows} rows.",
            format="tiff",
            width=layout.width,
            height=layout.height,
        )
    return jpeg.decode(stream, inner)


def _colours(layout: Layout) -> bytes:
    """The segment from which libjpeg knows what three samples mean: Adobe's, 1 for YCbCr and 0 for RGB."""
    transform = layout.photometric == tags.YCBCR
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def _segments(stream: bytes | memoryview) -> bytes:
    """What follows a JPEG's start, without its end and without what says what its samples mean.

    The TIFF's tags say that.
    """
    kept, at = bytearray(), 2
    while at < len(stream):
        start = at
        while stream[at + 1] == 0xFF:
            at += 1
        marker = stream[at + 1]
        if stream[start] != 0xFF or marker == _SCAN:
            kept += stream[start:]
            break
        if marker == 0xD9:
            break
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker not in (_JFIF, _ADOBE):
            kept += stream[start:at]
    return bytes(kept)
