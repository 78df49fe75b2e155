"""Whether a PNG is whole: its chunks, their checksums, its end, and as many rows as it states.

Pillow stops reading when it has all rows, skips the checksums of image data, and leaves rows black that
never come.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from assay.engine.outcome import Reason, Refused

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Adam7: first column, first row, and the steps between columns and rows, of each pass (PNG, section 8)
_INTERLACED = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_PIECE = 1 << 16


def check_chunks(data: bytes | memoryview) -> None:
    """
    Raises:
        Refused: `truncated`: the file ends before its end chunk; `undecodable`: a checksum is wrong.
    """
    view = memoryview(data)
    for kind, start, end in _chunks(view):
        (stated,) = struct.unpack_from(">I", view, end)
        if zlib.crc32(view[start - 4 : end]) != stated:
            raise Refused(
                Reason.UNDECODABLE,
                f"The PNG's chunk {kind!r} at byte {start - 8} is damaged: its checksum is wrong.",
                format="png",
                at=start - 8,
            )
        if kind == b"IEND":
            return
    raise Refused(
        Reason.TRUNCATED,
        f"The PNG ends after {len(view)} bytes, before its end chunk (IEND).",
        format="png",
        bytes=len(view),
    )


def check_rows(data: bytes | memoryview, image: Image.Image) -> None:
    """Refuse a PNG with fewer rows than it states; `image` is what Pillow loaded of it.

    Counting costs a second decompression, so it is done only where one of the last two rows (one of them
    belongs to the last pass of an interlaced file) is as black as one that never came.

    Raises:
        Refused: `truncated`.
    """
    width, height = image.size
    last = (image.crop((0, row, width, row + 1)) for row in range(max(0, height - 2), height))
    if all(row.getbbox(alpha_only=False) for row in last):
        return
    view = memoryview(data)
    depth, colour, _, _, interlaced = struct.unpack_from("5B", view, 24)
    passes = _INTERLACED if interlaced else ((0, 0, 1, 1),)
    stated = sum(
        -(-(height - top) // down) * (1 + -(-(-(-(width - left) // right) * depth * _CHANNELS[colour]) // 8))
        for left, top, right, down in passes
        if width > left and height > top
    )
    held = _inflated(view, stated)
    if held < stated:
        raise Refused(
            Reason.TRUNCATED,
            f"The PNG's image data end after {held} of {stated} bytes.",
            format="png",
            width=width,
            height=height,
        )


def _chunks(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of every chunk that lies within the file."""
    start = 16
    while start <= len(view):
        length, kind = struct.unpack_from(">I4s", view, start - 8)
        if start + length + 4 > len(view):
            return
        yield kind, start, start + length
        start += length + 12


def _inflated(view: memoryview, enough: int) -> int:
    """How many bytes the image data hold, counted up to `enough`."""
    stream = zlib.decompressobj()
    held = 0
    for kind, start, end in _chunks(view):
        if kind != b"IDAT":
            continue
        packed: bytes | memoryview = view[start:end]
        while len(packed) and not stream.eof and held < enough:
            held += len(stream.decompress(packed, _PIECE))
            packed = stream.unconsumed_tail
    return held
