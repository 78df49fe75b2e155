"""A PNG without all that is not its image, once it is known to be whole.

Pillow unpacks texts and colour profiles, and refuses an image for what is in them; it stops reading when it
has all rows, skips the checksums of image data, and leaves rows black that never come.
"""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from assay.engine.outcome import Reason, Refused

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
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
_PALETTED = 3
_ANCILLARY = 0x20  # of the first letter of a chunk's type
_PIECE = 1 << 16


def image_alone(data: bytes | memoryview) -> io.BytesIO:
    """The same image as a PNG of its header, its palette and one chunk of image data.

    Everything else is skipped before anything is unpacked: texts, profiles, transparency, later frames.

    Raises:
        Refused: `truncated`: the file ends before its end chunk; `undecodable`: a checksum is wrong, or the
            chunks are not those of an image.
    """
    view = memoryview(data)
    header, palette, checksum = b"", b"", zlib.crc32(b"IDAT")
    alone, image_data = io.BytesIO(), 0
    for kind, start, end in _chunks(view):
        (stated,) = struct.unpack_from(">I", view, end)
        if zlib.crc32(view[start - 4 : end]) != stated:
            raise _undecodable(f"chunk {kind!r} at byte {start - 8} is damaged: its checksum is wrong", start)
        if kind == b"IDAT":
            if not image_data:
                image_data = alone.write(_before_image_data(header, palette))
            alone.write(view[start:end])
            checksum = zlib.crc32(view[start:end], checksum)
        elif kind == b"IHDR" and not header:
            header = bytes(view[start:end])
        elif kind == b"PLTE":
            palette = palette or bytes(view[start : min(end, start + 768)])
        elif kind == b"IEND":
            break
        elif not kind[0] & _ANCILLARY:
            raise _undecodable(
                f"chunk {kind!r} at byte {start - 8} changes its image in an unknown way", start
            )
    else:
        raise Refused(
            Reason.TRUNCATED,
            f"The PNG ends after {len(view)} bytes, before its end chunk (IEND).",
            format="png",
            bytes=len(view),
        )
    if not image_data:
        raise _undecodable("end chunk (IEND) comes before any image data", start)
    alone.write(struct.pack(">I", checksum) + _chunk(b"IEND", b""))
    with alone.getbuffer() as written:
        struct.pack_into(">I", written, image_data - 8, len(written) - image_data - 16)
    alone.seek(0)
    return alone


def _before_image_data(header: bytes, palette: bytes) -> bytes:
    """Signature, header and palette, and the start of a chunk of image data of length 0."""
    if len(header) != 13:
        raise _undecodable("header (IHDR) has not the length that it must have", 16)
    if header[9] == _PALETTED and (not palette or len(palette) % 3):
        raise _undecodable("palette (PLTE) is missing, late, or no list of colours", 16)
    chunks = _chunk(b"IHDR", header) + (_chunk(b"PLTE", palette) if header[9] == _PALETTED else b"")
    return _SIGNATURE + chunks + bytes(4) + b"IDAT"


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _undecodable(fault: str, start: int) -> Refused:
    return Refused(Reason.UNDECODABLE, f"The PNG's {fault}.", format="png", at=start - 8)


def check_rows(data: bytes | memoryview, image: Image.Image) -> None:
    """Refuse a PNG with fewer rows than it states: `image` is what Pillow loaded of `data`.

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
        for at in range(start, end, _PIECE):  # what is left is copied at every turn: little at a time
            packed: bytes | memoryview = view[at : min(at + _PIECE, end)]
            while len(packed) and not stream.eof and held < enough:
                held += len(stream.decompress(packed, _PIECE))
                packed = stream.unconsumed_tail
    return held
