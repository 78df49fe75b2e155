"""Width and height of AVIF and HEIC, out of the boxes of the ISO base media file format (ISO/IEC 23008-12).

The size of the primary item (`pitm`) is the `ispe` property among those that `ipma` ties to it; thumbnails,
tiles and alpha planes have their own.
"""

import struct
from collections.abc import Iterator

from assay.engine.outcome import Reason, Refused

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
MAX_BOXES = 4096

Box = tuple[bytes, int, int]  # type, start and end of its content


def sniff(head: bytes) -> str | None:
    """`avif`, `heic`, or None where the brands name neither (MP4, QuickTime)."""
    brands_end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12]} | {head[at : at + 4] for at in range(16, brands_end - 3, 4)}
    if brands & _AVIF:
        return "avif"
    return "heic" if brands & _HEIC else None


def read(data: bytes | memoryview, *, transformed: bool) -> tuple[int, int]:
    """Width and height; `transformed` by the file's own cropping (`clap`) and rotation (`irot`).

    libheif applies them when it decodes, Pillow's AVIF does not.

    Raises:
        Refused: `truncated`, `undecodable`.
        struct.error, IndexError: the data end within the boxes.
    """
    meta = _find(data, 0, len(data), b"meta")
    if meta is None:
        if _find(data, 0, len(data), b"moov"):
            raise Refused(Reason.UNDECODABLE, "The file holds a sequence of images and no still one.")
        raise Refused(Reason.TRUNCATED, "The file ends before the box that describes its image (`meta`).")
    start, end = meta[0] + 4, meta[1]  # version and flags come first
    pitm, iprp = _find(data, start, end, b"pitm"), _find(data, start, end, b"iprp")
    ipco = iprp and _find(data, *iprp, b"ipco")
    ipma = iprp and _find(data, *iprp, b"ipma")
    if not (pitm and ipco and ipma):
        raise Refused(
            Reason.UNDECODABLE, "The file does not say which of its items is the image, or its size."
        )
    primary = struct.unpack_from(">H" if data[pitm[0]] == 0 else ">I", data, pitm[0] + 4)[0]
    properties = list(_boxes(data, *ipco))
    width: int | None = None
    height: int | None = None
    for index in _associations(data, ipma[0], primary):
        if not 0 < index <= len(properties):
            continue
        kind, at, _ = properties[index - 1]
        if kind == b"ispe":
            width, height = struct.unpack_from(">II", data, at + 4)
        elif kind == b"clap" and transformed:
            across, across_unit, down, down_unit = struct.unpack_from(">4I", data, at)
            width, height = across // max(across_unit, 1), down // max(down_unit, 1)
        elif kind == b"irot" and transformed and data[at] & 1:
            width, height = height, width
    if width is None or height is None:
        raise Refused(Reason.UNDECODABLE, "The file does not state the size of its image.")
    return width, height


def _boxes(data: bytes | memoryview, start: int, end: int) -> Iterator[Box]:
    for _ in range(MAX_BOXES):
        if start >= end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = end if size == 0 else start + size
        if stop < content:
            raise Refused(
                Reason.UNDECODABLE, f"The box at byte {start} is smaller than its own header.", at=start
            )
        if stop > end:
            raise Refused(
                Reason.TRUNCATED,
                f"The box {kind!r} at byte {start} should end at byte {stop}, behind the end at {end}.",
                bytes=len(data),
            )
        yield kind, content, stop
        start = stop
    raise Refused(Reason.UNDECODABLE, f"The file holds more than {MAX_BOXES} boxes.", limit=MAX_BOXES)


def _find(data: bytes | memoryview, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """Content of the first box of a kind; all are walked, so that one that is cut off is noticed."""
    found = [(content, stop) for name, content, stop in _boxes(data, start, end) if name == kind]
    return found[0] if found else None


def _associations(data: bytes | memoryview, at: int, item: int) -> list[int]:
    """Numbers (from 1) of the properties that belong to an item."""
    version, wide = data[at], data[at + 3] & 1
    (entries,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(entries, MAX_BOXES)):
        identity = struct.unpack_from(">H" if version == 0 else ">I", data, at)[0]
        at += 2 if version == 0 else 4
        count = data[at]
        numbers = struct.unpack_from(f">{count}{'H' if wide else 'B'}", data, at + 1)
        at += 1 + count * (2 if wide else 1)
        if identity == item:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]  # the top bit: essential
    return []
