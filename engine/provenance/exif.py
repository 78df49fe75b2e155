"""What EXIF says: the camera, the program, and the texts into which generators write their parameters.

A block is a TIFF of its own (CIPA DC-008); of a TIFF image, it is the file.
"""

import struct
from collections.abc import Iterator

from assay.engine.provenance.claim import MOST_READ, Claim, Source, of_text, of_tool
from assay.engine.provenance.piece import Data, Piece

MOST_ENTRIES = 512
_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _COMMENT = 0x010E, 0x010F, 0x0110, 0x0131, 0x9286
_FIELDS = {
    _DESCRIPTION: "ImageDescription",
    _MAKE: "Make",
    _MODEL: "Model",
    _SOFTWARE: "Software",
    _COMMENT: "UserComment",
}
_MORE = 0x8769  # the Exif directory, in which the comment stands
_XMP, _MANIFEST = 700, 52545  # within a TIFF image
_SIZES = {1: 1, 2: 1, 7: 1, 4: 4, 13: 4}
_WIDTH = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}


def claims(block: Data) -> Iterator[Claim]:
    """The claims of an EXIF block, none of what is broken or cut off."""
    order, _ = _WIDTH.get(bytes(block[:4]), ("", False))
    found = {tag: content for tag, content in _values(block) if tag in _FIELDS}
    texts = {tag: _text(content, tag, order) for tag, content in found.items()}
    camera = bool(texts.get(_MAKE) and texts.get(_MODEL))
    for tag, text in texts.items():
        generated = of_text(text)
        if tag in (_MAKE, _MODEL, _SOFTWARE):
            camera_too = Source.CAPTURE if camera and tag == _MODEL else None
            yield Claim("exif", _FIELDS[tag], text, generated or of_tool(text) or camera_too)
        elif generated:
            yield Claim("exif", _FIELDS[tag], text, generated)


def pieces(view: memoryview) -> Iterator[Piece]:
    """What a TIFF image holds beside the EXIF that it is."""
    yield Piece("exif", view)
    for tag, content in _values(view):
        if tag == _XMP:
            yield Piece("xmp", content)
        elif tag == _MANIFEST:
            yield Piece("manifest", content)


def _values(block: Data) -> list[tuple[int, Data]]:
    """Tags and contents in the first directory and in its Exif directory, as far as they are whole."""
    found: list[tuple[int, Data]] = []
    if bytes(block[:4]) not in _WIDTH:
        return found
    order, big = _WIDTH[bytes(block[:4])]
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), block, 8 if big else 4)
        found += _directory(block, first, order, big)
        more = [content for tag, content in found if tag == _MORE and len(content) == 4]
        for content in more[:1]:
            found += _directory(block, struct.unpack(order + "I", content)[0], order, big)
    except struct.error:
        pass
    return found


def _directory(block: Data, at: int, order: str, big: bool) -> Iterator[tuple[int, Data]]:
    """Raises struct.error where it is cut, after what lies before."""
    pointer, inline = ("Q", 8) if big else ("I", 4)
    entry = struct.Struct(order + ("HHQ" if big else "HHI"))
    at = min(at, len(block))  # 64 bits may point beyond what an index can be
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), block, at)
    at += 8 if big else 2
    for _ in range(min(count, MOST_ENTRIES)):
        tag, kind, length = entry.unpack_from(block, at)
        place = at + entry.size
        at = place + inline
        size = length * _SIZES.get(kind, 0)
        if size > inline:
            (place,) = struct.unpack_from(order + pointer, block, place)
        if size:
            yield tag, block[place : place + size]


def _text(content: Data, tag: int, order: str) -> str:
    raw = bytes(content[:MOST_READ])
    if tag == _COMMENT:
        code, raw = raw[:8], raw[8:]
        if code == b"UNICODE\0":
            return _utf_16(raw, order)
        if code not in (b"ASCII\0\0\0", bytes(8)):
            raw = code + raw  # many write none
    return raw.decode("utf-8", "replace").strip("\0 ")


def _utf_16(raw: bytes, order: str) -> str:
    """UTF-16 in the order in which most characters are Latin: not every program follows that of the block."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace").strip("\0 ")
    big, little = raw[0::2].count(0), raw[1::2].count(0)
    name = ("utf-16-be" if order == ">" else "utf-16-le") if big == little else "utf-16-be"
    return raw.decode("utf-16-le" if little > big else name, "replace").strip("\0 ")
