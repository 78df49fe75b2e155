"""Boxes of the ISO base media file format (ISO/IEC 14496-12), in which AVIF and HEIC are stored."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from assay.engine.outcome import Reason, Refused

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
MAX_BOXES = 4096


class Box(NamedTuple):
    """`start` and `end` are those of its content."""

    kind: bytes
    start: int
    end: int


def sniff(head: bytes) -> str | None:
    """`avif`, `heic`, or None where the brands name neither (MP4, QuickTime)."""
    brands_end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12]} | {head[at : at + 4] for at in range(16, brands_end - 3, 4)}
    if brands & _AVIF:
        return "avif"
    return "heic" if brands & _HEIC else None


def boxes(data: bytes | memoryview, start: int, end: int) -> Iterator[Box]:
    """The boxes that lie between two bytes.

    Raises:
        Refused: `undecodable`: a box smaller than its own header, or more than `MAX_BOXES`; `truncated`: one
            that goes on behind `end`.
        struct.error: the data end within a box's header.
    """
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
        yield Box(kind, content, stop)
        start = stop
    raise Refused(Reason.UNDECODABLE, f"The file holds more than {MAX_BOXES} boxes.", limit=MAX_BOXES)


def find(data: bytes | memoryview, start: int, end: int, kind: bytes) -> Box | None:
    """The first box of a kind; what lies behind it is not looked at."""
    return next((box for box in boxes(data, start, end) if box.kind == kind), None)


def inside(data: bytes | memoryview, box: Box, *kinds: bytes) -> Box | None:
    """The first box of the last of `kinds` within the first one of the kind before it, and so on."""
    found: Box | None = box
    for kind in kinds:
        found = found and find(data, found.start, found.end, kind)
    return found
