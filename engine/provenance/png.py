"""The metadata of a PNG: its text chunks, eXIf, and C2PA's caBX. The decoder has seen to checksums."""

import struct
import zlib
from collections.abc import Iterator

from assay.engine.provenance.claim import MOST_READ
from assay.engine.provenance.piece import Piece

MOST_CHUNKS, MOST_TEXTS = 8192, 32
"""Chunks of a file that are looked at, and how many of them are texts."""
_XMP = "XML:com.adobe.xmp"


def pieces(view: memoryview) -> Iterator[Piece]:
    position, texts = 8, 0
    for _ in range(MOST_CHUNKS):
        length, kind = struct.unpack_from(">I4s", view, position)
        content = view[position + 8 : position + 8 + length]
        if kind == b"eXIf":
            yield Piece("exif", content)
        elif kind == b"caBX":
            yield Piece("manifest", content)
        elif kind in _TEXTS and texts < MOST_TEXTS:
            texts += 1
            try:
                keyword, text = _TEXTS[kind](content)
            except (ValueError, IndexError, zlib.error):  # no keyword, cut, or damaged where it is packed
                text, keyword = b"", ""
            if keyword == _XMP:
                yield Piece("xmp", text)
            elif keyword:
                yield Piece("text", text, keyword)
        elif kind == b"IEND":
            return
        position += 12 + length


def _keyword(content: memoryview) -> tuple[str, memoryview]:
    """The keyword of a text chunk, and what follows; ValueError: it has none."""
    length = bytes(content[:80]).index(b"\0")
    return bytes(content[:length]).decode("latin-1"), content[length + 1 :]


def _latin(content: memoryview) -> tuple[str, bytes]:
    keyword, rest = _keyword(content)
    raw = bytes(rest[:MOST_READ])
    try:  # the standard says Latin-1, and much of what writes prompts does not care
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raw = raw.decode("latin-1").encode()
    return keyword, raw


def _packed(content: memoryview) -> tuple[str, bytes]:
    keyword, rest = _keyword(content)
    return keyword, _unpacked(rest[1:])


def _international(content: memoryview) -> tuple[str, bytes]:
    keyword, rest = _keyword(content)
    packed = rest[0] == 1
    head = bytes(rest[2 : 2 + 4096])  # language, and the keyword translated
    start = 2 + head.index(b"\0", head.index(b"\0") + 1) + 1
    return keyword, _unpacked(rest[start:]) if packed else bytes(rest[start : start + MOST_READ])


def _unpacked(packed: memoryview) -> bytes:
    """At most `MOST_READ` bytes of what is packed, however much that is."""
    return zlib.decompressobj().decompress(packed[:MOST_READ], MOST_READ)


_TEXTS = {b"tEXt": _latin, b"zTXt": _packed, b"iTXt": _international}
