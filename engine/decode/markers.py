"""A JPEG's marker segments (ITU-T T.81, annex B), and its headers without what every decoder ignores."""

import re
from collections.abc import Iterator
from typing import NamedTuple

SCAN, END = 0xDA, 0xD9
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_TABLES, _COMMENT, _JFIF, _ADOBE = 0xC4, 0xFE, 0xE0, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_ALONE = frozenset(range(0xD0, 0xDA)) | {0x01}  # markers without a length

MOST_PIECES = 4096
"""Segments of a file that are looked at: honest files have a tenth of them."""
MOST_STRAY = 13
"""Stray bytes that may lie among headers without a question: no segment that decides pixels is shorter, but
for the restart interval, whose loss the entropy-coded data show."""

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_AFTER_CODED_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_PLAIN_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_TRANSFORMS = {3: (1, 0), 4: (2, 0)}  # of Adobe's segment, by components; the first is what libjpeg assumes


class Piece(NamedTuple):
    """A segment, from the code behind its marker's 0xFF on; or, with code 0, the bytes between segments."""

    code: int
    content: bytes | memoryview


def pieces(data: bytes | memoryview) -> Iterator[Piece]:
    """What follows a JPEG's first marker up to its end marker: in front of each segment, the bytes before it.

    These are entropy-coded data from the first scan on, and stray or fill bytes before. A file that is cut
    ends with bytes between segments; so does one of more than `MOST_PIECES` segments.
    """
    view = memoryview(data)
    position, marker = 2, _MARKER
    for _ in range(MOST_PIECES):
        match = marker.search(view, position)
        if match is None:
            break
        yield Piece(0, view[position : match.start()])
        code, position = match[1][0], match.end()
        length = 0 if code in _ALONE else int.from_bytes(view[position : position + 2], "big")
        yield Piece(code, bytes(view[match.start() + 1 : position + length]))
        position += length
        if code == END:
            return
        if code == SCAN:
            marker = _AFTER_CODED_DATA
    yield Piece(0, view[position:])


def joined(found: list[Piece]) -> bytes:
    """The JPEG of these pieces."""
    return b"\xff\xd8" + b"".join(b"\xff" + content if code else content for code, content in found)


def plain(data: bytes | memoryview) -> list[Piece] | None:
    """The pieces of a JPEG of the same pixels, without what libjpeg warns about and decoders ignore.

    Left out are application data, comments and stray bytes before the first scan; JFIF's revision, Adobe's
    colour transform and the scan parameters of sequential frames become what decoders take them for. Tables
    and entropy-coded data stay as they are. None: enough bytes are stray that they may have been a segment
    that decides pixels, and what is left does not show that none is missing.
    """
    kept: list[Piece] = []
    frame, components, scanned, stray = 0, 0, False, 0
    for code, content in pieces(data):
        if code in FRAMES:
            frame, components = code, content[8] if len(content) > 8 else 0
        if code == SCAN:
            scanned = True
        if code or scanned:
            kept.append(Piece(code, content))
        else:
            stray += len(bytes(content).rstrip(b"\xff"))
    kept = [piece for piece in (_plain(piece, frame, components) for piece in kept) if piece is not None]
    return kept if stray <= MOST_STRAY or _whole(kept, components) else None


def _plain(piece: Piece, frame: int, components: int) -> Piece | None:
    code, content = piece.code, bytes(piece.content) if piece.code else b""
    if code == SCAN and frame in _SEQUENTIAL and len(content) > 8:
        return Piece(code, content[:-3] + b"\0\x3f\0")
    if code == _JFIF and content[3:8] == b"JFIF\0" and len(content) >= 17:
        return Piece(code, b"\xe0\0\x10" + _PLAIN_JFIF)
    if code == _ADOBE and content[3:8] == b"Adobe" and len(content) >= 15:
        known = _TRANSFORMS.get(components, (0,))
        transform = content[14] if content[14] in known else known[0]
        return Piece(code, b"\xee\0\x0e" + content[3:14] + bytes([transform]))
    return None if code in _APPLICATION or code == _COMMENT else piece


def _whole(kept: list[Piece], components: int) -> bool:
    """Whether the headers before the first scan define its Huffman tables, and its colours beyond doubt."""
    defined: set[int] = set()
    marked = components == 1
    for code, content in kept:
        if code == SCAN:
            return marked and _tables_of_scan(bytes(content)) <= defined
        if code == _HUFFMAN_TABLES:
            defined |= set(_tables(bytes(content[3:])))
        marked |= code in (_JFIF, _ADOBE)
    return False


def _tables(content: bytes) -> Iterator[int]:
    """Class and number of each Huffman table of a segment."""
    position = 0
    while position + 17 <= len(content):
        yield content[position]
        position += 17 + sum(content[position + 1 : position + 17])


def _tables_of_scan(content: bytes) -> set[int]:
    chosen = content[5:-3:2]
    first = {number >> 4 for number in chosen}
    only_first = content[-2:-1] == b"\0"
    return first if only_first else first | {0x10 | number & 15 for number in chosen}
