"""The metadata of a WebP: RIFF chunks beside the picture's."""

import struct
from collections.abc import Iterator

from assay.engine.provenance.piece import Piece

MOST_CHUNKS = 1024


def pieces(view: memoryview) -> Iterator[Piece]:
    position = 12
    for _ in range(MOST_CHUNKS):
        if position + 8 > len(view):
            return
        kind, length = struct.unpack_from("<4sI", view, position)
        content = view[position + 8 : position + 8 + length]
        if kind == b"EXIF":
            yield Piece("exif", content[6:] if bytes(content[:6]) == b"Exif\0\0" else content)
        elif kind == b"XMP ":
            yield Piece("xmp", content)
        elif kind == b"C2PA":
            yield Piece("manifest", content)
        position += 8 + length + length % 2
