"""The size of AVIF and HEIC, and that their coded pictures are no larger than they say (ISO/IEC 23008-12).

The size of the primary item (`pitm`) is the `ispe` property among those that `ipma` ties to it; thumbnails,
tiles and alpha planes have their own. Each is compared with what its coded data decode to, since a decoder
scales one to the other without a word.
"""

import struct
from contextlib import suppress

from assay.engine.admission import av1, hevc, items, tracks
from assay.engine.admission.isobmff import Box, boxes, inside
from assay.engine.admission.items import Item
from assay.engine.admission.units import Units
from assay.engine.outcome import Reason, Refused

_AV1, _HEVC, _GRID = b"av01", b"hvc1", b"grid"
_KINDS = frozenset({_AV1, _HEVC, b"hev1", _GRID, b"iden", b"iovl"})
_SLACK = 64
"""Pixels by which coded pictures may be larger on a side: some encoders code whole blocks."""
_LARGE_PART = 1 << 22
_COPIES = 4  # of the encoded bytes: the file, and the metadata as the library and Pillow keep them

Size = tuple[int, int]


def read(data: bytes | memoryview, *, transformed: bool) -> tuple[int, int, int]:
    """Width, height, and the bytes that decoding holds beside the pixels; `transformed` by the file's own
    cropping (`clap`) and rotation (`irot`).

    libheif applies them when it decodes, Pillow's AVIF does not.

    Raises:
        Refused: `truncated`, `undecodable`.
        struct.error, IndexError: the data end within the boxes.
    """
    meta, movie = _parts(data)
    if meta is None:
        if movie:
            raise Refused(Reason.UNDECODABLE, "The file holds a sequence of images and no still one.")
        raise Refused(Reason.TRUNCATED, "The file ends before the box that describes its image (`meta`).")
    width, height, held = _still(data, meta, transformed)
    if movie and not transformed and bytes(data[8:12]) != b"avif":  # which one is decoded, its brands decide
        width, height, more = tracks.read(data, movie)
        held = max(held, more)
    return width, height, held + _COPIES * len(data)


def _still(data: bytes | memoryview, meta: Box, transformed: bool) -> tuple[int, int, int]:
    """Width and height of the still image, and the bytes that its coded pictures take."""
    within = {box.kind: box for box in reversed([*boxes(data, meta.start + 4, meta.end)])}
    pitm, iprp = within.get(b"pitm"), within.get(b"iprp")
    ipco = iprp and inside(data, iprp, b"ipco")
    ipma = [box for box in boxes(data, iprp.start, iprp.end) if box.kind == b"ipma"] if iprp else []
    if not (pitm and ipco and ipma):
        raise Refused(
            Reason.UNDECODABLE, "The file does not say which of its items is the image, or its size."
        )
    (primary,) = struct.unpack_from(">H" if data[pitm.start] == 0 else ">I", data, pitm.start + 4)
    all_items = items.read(data, within, ipma, [*boxes(data, ipco.start, ipco.end)])
    image = all_items.get(primary, Item())
    width, height = _stated(data, image)
    held = 0
    if image.kind:
        if image.kind not in _KINDS:
            raise Refused(
                Reason.UNDECODABLE, f"The file's image is of a kind {image.kind!r} that is not read."
            )
        references = list(items.references(data, within.get(b"iref")))
        shown = [all_items[number] for number in _belonging(primary, references) if number in all_items]
        held = _held(data, shown, width * height)
    if transformed:
        width, height = _transformed(data, image, width, height)
    return width, height, held


def _parts(data: bytes | memoryview) -> tuple[Box | None, Box | None]:
    """The boxes `meta` and `moov`; what lies behind the first of them need not be boxes."""
    found: dict[bytes, Box] = {}
    with suppress(Refused, struct.error):
        for box in boxes(data, 0, len(data)):
            found.setdefault(box.kind, box)
            if b"meta" in found and b"moov" in found:
                break
    if not found.keys() & {b"meta", b"moov"}:
        for _ in boxes(data, 0, len(data)):  # says what is wrong
            pass
    return found.get(b"meta"), found.get(b"moov")


def _stated(data: bytes | memoryview, image: Item) -> Size:
    sizes = {
        struct.unpack_from(">II", data, box.start + 4) for box in image.properties if box.kind == b"ispe"
    }
    if len(sizes) != 1:
        stated = "more than one size" if sizes else "not the size"
        raise Refused(Reason.UNDECODABLE, f"The file states {stated} of its image.")
    [(width, height)] = sizes
    return width, height


def _transformed(data: bytes | memoryview, image: Item, width: int, height: int) -> Size:
    for box in image.properties:
        if box.kind == b"clap":
            across, across_unit, down, down_unit = struct.unpack_from(">4I", data, box.start)
            width, height = across // max(across_unit, 1), down // max(down_unit, 1)
        elif box.kind == b"irot" and data[box.start] & 1:
            width, height = height, width
    return width, height


def _belonging(primary: int, references: list[items.Reference]) -> list[int]:
    """Numbers of the items that a decoder reads: the image, its alpha plane, and the tiles of both."""
    found = {primary}
    for _ in range(3):
        for kind, source, targets in references:
            if kind == b"dimg" and source in found:
                found.update(targets)
            elif kind == b"auxl" and not found.isdisjoint(targets):
                found.add(source)
    return sorted(found)


def _held(data: bytes | memoryview, shown: list[Item], pixels: int) -> int:
    """Bytes that the coded pictures of an image of that many pixels take."""
    units = Units()
    held, grids = 0, 0
    for item in shown:
        if item.kind not in _KINDS:
            continue  # nor does a decoder read it
        width, height = _stated(data, item)
        (across, down), taken = _coded(data, item, units)
        grids += item.kind == _GRID
        if across > width + _SLACK or down > height + _SLACK:
            raise Refused(
                Reason.UNDECODABLE,
                f"The file states {width}x{height} pixels, and its coded data {across}x{down}.",
                width=width,
                height=height,
            )
        if across * down > max(_LARGE_PART, 4 * pixels):
            raise Refused(
                Reason.UNDECODABLE,
                f"A part of the image has {across}x{down} pixels, the image itself {pixels} altogether.",
            )
        held += taken
    return held * (1 + grids)  # tiles are copied together


def _coded(data: bytes | memoryview, item: Item, units: Units) -> tuple[Size, int]:
    """Width and height that an item's own data state, and the bytes that decoding it holds."""
    content = item.data(data)
    if item.kind == _AV1:
        frames = av1.frames(content, units)
        if frames is None:
            raise Refused(Reason.UNDECODABLE, "The AV1 data of the image have no sequence header.")
        return (frames.width, frames.height), frames.held
    if item.kind in (_HEVC, b"hev1"):
        configuration = item.property(b"hvcC")
        box = data[configuration.start : configuration.end] if configuration else b""
        size = hevc.size(box, content, units)
        if size is None:
            raise Refused(Reason.UNDECODABLE, "The HEVC data of the image have no parameter sets.")
        return size, 3 * size[0] * size[1]
    if item.kind == _GRID:
        return struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4), 0
    return _stated(data, item), 0
