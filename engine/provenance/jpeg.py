"""The metadata of a JPEG: application segments in front of the first scan."""

import re
from collections.abc import Iterator

from assay.engine.provenance.piece import Piece

MOST_SEGMENTS = 1024
_HINT = re.compile(rb"\xff[\xe1\xeb]")
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_ALONE = frozenset(range(0xD0, 0xDA)) | {0x01}  # markers without a length
_SCAN, _APP1, _APP11 = 0xDA, 0xE1, 0xEB
_XMP, _EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_JUMBF = b"JP"  # ISO/IEC 19566-5, in which a C2PA manifest store is wrapped


def may_hold_any(view: memoryview, scan: int) -> bool:
    """Whether the headers, which end at `scan`, have a marker of a segment that `pieces` looks into."""
    return _HINT.search(view, 2, scan) is not None


def pieces(view: memoryview) -> Iterator[Piece]:
    position = 2
    for _ in range(MOST_SEGMENTS):
        match = _MARKER.search(view, position)
        if match is None or match[1][0] == _SCAN:
            return
        code, position = match[1][0], match.end()
        if code in _ALONE:
            continue
        end = position + int.from_bytes(view[position : position + 2], "big")
        content = view[position + 2 : end]
        if code == _APP1 and content[:6] == _EXIF:
            yield Piece("exif", content[6:])
        elif code == _APP1 and content[: len(_XMP)] == _XMP:
            yield Piece("xmp", content[len(_XMP) :])
        elif code == _APP11 and content[:2] == _JUMBF:
            yield Piece("manifest", content)
        position = max(end, position + 2)
