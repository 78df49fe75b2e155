"""JPEGs whose sampling factors TurboJPEG has no name for, by Pillow.

Pillow hides what its libjpeg warns about, so damage is looked for otherwise: the image is decoded again with
other bits behind its entropy-coded data, and pixels that change were made of bits that are not there. Restart
markers are counted. What is not noticed here, and is elsewhere: data that are left over before a restart
marker or before a further scan.
"""

import io
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from assay.engine.admission import Header
from assay.engine.decode.markers import END, FRAMES, SCAN, Piece, joined

STRIP = 1 << 18
"""Pixels that are converted to RGB at once."""

_RESTART_INTERVAL = 0xDD
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_OTHER_BITS = b"\xb5" * 8


class DamagedError(Exception):
    """The entropy-coded data do not make the image; its words say how."""


def decode(
    found: list[Piece], header: Header, most_unused: float, buffer: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of a JPEG's pieces, in `buffer` where one is given.

    `most_unused` is the share of the coded data that may lie unused before the end marker.

    Raises:
        DamagedError: what is missing or left over.
    """
    if not found or found[-1].code != END:
        raise DamagedError("premature end of JPEG file")
    try:
        _check_restarts(found)
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        raise DamagedError("a scan header contradicts the frame header") from None
    if buffer is None:
        buffer = np.empty(header.decoded_bytes, np.uint8)
    pixels = buffer[: header.decoded_bytes].reshape(header.height, header.width, 3)
    for rows, strip in _strips(joined(found), header):
        pixels[rows] = strip
    if not _same(pixels, [_lengthened(piece) for piece in found], header):
        raise DamagedError("premature end of data segment")
    if not header.multiscan and _same(pixels, _shortened(found, most_unused), header):
        raise DamagedError("many extraneous bytes before the end marker")
    return pixels


def _strips(data: bytes, header: Header) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Rows of an image and their pixels; all at once, Pillow's conversion would hold three images."""
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            if image.size != (header.width, header.height):
                raise DamagedError(f"decoded to {image.size[0]}x{image.size[1]} pixels")
            image.load()
            step = max(1, STRIP // header.width)
            for top in range(0, header.height, step):
                rows = slice(top, min(top + step, header.height))
                strip = image.crop((0, rows.start, header.width, rows.stop))
                yield rows, np.asarray(strip.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(str(error)) from None


def _same(pixels: NDArray[np.uint8], found: list[Piece], header: Header) -> bool:
    return all(np.array_equal(pixels[rows], strip) for rows, strip in _strips(joined(found), header))


def _lengthened(piece: Piece) -> Piece:
    """Coded data with other bits where libjpeg reads zeros: behind the end of each restart interval."""
    if piece.code or not piece.content:
        return piece
    return Piece(0, _RESTART.sub(lambda match: _OTHER_BITS + match[0], piece.content) + _OTHER_BITS)


def _shortened(found: list[Piece], share: float) -> list[Piece]:
    """The pieces with other bits in place of the last `share` of the last scan's coded data."""
    last = max(number for number, piece in enumerate(found) if not piece.code and piece.content)
    content = found[last].content
    kept = bytes(content[: int(len(content) * (1 - share))]).rstrip(b"\xff")
    return [*found[:last], Piece(0, kept + _OTHER_BITS), *found[last + 1 :]]


def _check_restarts(found: list[Piece]) -> None:
    """
    Raises:
        DamagedError: a scan's restart markers are not as many, or not in the order, that its headers say.
    """
    frame, interval, expected = b"", 0, 0
    for before, (code, content) in zip([Piece(0, b""), *found], found, strict=False):
        if code in FRAMES:
            frame = bytes(content)
        elif code == _RESTART_INTERVAL:
            interval = int.from_bytes(content[3:5], "big")
        elif code == SCAN:
            expected = -(-_units(frame, bytes(content)) // interval) - 1 if interval else 0
        elif before.code == SCAN:
            count = 0
            for count, match in enumerate(_RESTART.finditer(content), 1):
                if count > expected or match[1][0] & 7 != (count - 1) & 7:
                    raise DamagedError(
                        f"restart marker {count} of {expected} is not the one that belongs there"
                    )
            if count < expected:
                raise DamagedError(f"{count} restart markers instead of {expected}")


def _units(frame: bytes, scan: bytes) -> int:
    """MCUs of a scan: blocks where it holds one component (ITU-T T.81, A.2)."""
    height, width = int.from_bytes(frame[4:6], "big"), int.from_bytes(frame[6:8], "big")
    factors = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(9, len(frame) - 2, 3)}
    widest = max(across for across, _ in factors.values())
    highest = max(down for _, down in factors.values())
    across, down = (1, 1) if scan[3] > 1 else factors[scan[4]]
    return -(-width * across // (8 * widest)) * -(-height * down // (8 * highest))
