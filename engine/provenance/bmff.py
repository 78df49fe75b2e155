"""The metadata of AVIF and HEIC: items that `iinf` names and `iloc` places, and C2PA's `uuid` box.

ISO/IEC 14496-12, sections 8.11.3 and 8.11.6; ISO/IEC 23008-12, annex A.
"""

import struct
from collections.abc import Iterator

from assay.engine.provenance.piece import Piece

MOST_BOXES, MOST_ITEMS = 4096, 4096
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP = b"application/rdf+xml\0"

Box = tuple[bytes, memoryview]  # type and content


def pieces(view: memoryview) -> Iterator[Piece]:
    for kind, content in _boxes(view):
        if kind == b"uuid" and content[:16] == _C2PA:
            yield Piece("manifest", content)
        elif kind == b"meta":
            yield from _items(view, dict(_boxes(content[4:])))


def _boxes(view: memoryview) -> Iterator[Box]:
    position = 0
    for _ in range(MOST_BOXES):
        if position + 8 > len(view):
            return
        size, kind = struct.unpack_from(">I4s", view, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", view, start)
            start += 8
        end = position + size if size else len(view)
        if end < start:
            return
        yield kind, view[start:end]
        position = end


def _items(view: memoryview, meta: dict[bytes, memoryview]) -> Iterator[Piece]:
    if b"iinf" not in meta or b"iloc" not in meta:
        return
    information = meta[b"iinf"]
    wanted: dict[int, str] = {}
    for kind, content in _boxes(information[6 if information[0] == 0 else 8 :]):
        if kind != b"infe" or content[0] < 2:
            continue
        number, name = struct.unpack_from(">H2x4s" if content[0] == 2 else ">I2x4s", content, 4)
        if name == b"Exif":
            wanted[number] = "exif"
        elif name == b"mime" and _XMP in bytes(content[:256]):
            wanted[number] = "xmp"
    for number, start, length in _places(meta[b"iloc"]) if wanted else ():
        content = view[start : start + length]
        if wanted.get(number) == "exif":  # in front of it: where its TIFF header starts
            yield Piece("exif", content[4 + int.from_bytes(content[:4], "big") :])
        elif wanted.get(number) == "xmp":
            yield Piece("xmp", content)


def _places(location: memoryview) -> Iterator[tuple[int, int, int]]:
    """Number, start and length of the first extent of every item that lies in the file itself."""
    version = location[0]
    offset, length = location[4] >> 4, location[4] & 15
    base, index = location[5] >> 4, location[5] & 15 if version else 0
    wide = version == 2
    count = int.from_bytes(location[6 : 10 if wide else 8], "big")
    position = 10 if wide else 8

    def number(size: int) -> int:
        nonlocal position
        position += size
        if position > len(location):
            raise IndexError(position)
        return int.from_bytes(location[position - size : position], "big")

    for _ in range(min(count, MOST_ITEMS)):
        item = number(4 if wide else 2)
        method = number(2) & 15 if version else 0
        number(2)  # the file that it lies in
        start, extents = number(base), number(2)
        for extent in range(extents):
            number(index)
            where, how_long = number(offset), number(length)
            if not extent and not method:
                yield item, start + where, how_long
            if extent >= MOST_ITEMS:
                return
