"""The first directory of a TIFF or BigTIFF: its size, and where its parts lie (TIFF 6.0, section 2)."""

import struct

from assay.engine.outcome import Reason, Refused

WIDTH, LENGTH, COMPRESSION = 256, 257, 259
STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES = 273, 279, 324, 325
TILE_WIDTH, TILE_LENGTH, JPEG_TABLES = 322, 323, 347

_TYPES = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}  # BYTE, SHORT, LONG, UNDEFINED, LONG8
_MAX_ENTRIES = 1024
_LARGE_TILE = 1 << 22


def read(data: bytes | memoryview) -> tuple[int, int]:
    """Width and height.

    Raises:
        Refused: `undecodable`: no size, or tiles of which one alone is a bomb.
        struct.error: the data end before the directory does.
    """
    found = values(data, WIDTH, LENGTH, TILE_WIDTH, TILE_LENGTH)
    if not (found.get(WIDTH) and found.get(LENGTH)):
        raise Refused(Reason.UNDECODABLE, "The TIFF's first directory states no width and height.")
    width, height = found[WIDTH][0], found[LENGTH][0]
    if found.get(TILE_WIDTH) and found.get(TILE_LENGTH):
        across, down = found[TILE_WIDTH][0], found[TILE_LENGTH][0]
        if across * down > max(_LARGE_TILE, 4 * width * height):
            raise Refused(
                Reason.UNDECODABLE,
                f"The TIFF states tiles of {across}x{down} pixels in an image of {width}x{height}.",
                width=width,
                height=height,
            )
    return width, height


def values(data: bytes | memoryview, *tags: int) -> dict[int, tuple[int, ...]]:
    """The integers of those of `tags` that the first directory holds."""
    order = "<" if data[0] == 0x49 else ">"
    big = 43 in data[2:4]
    pointer = "Q" if big else "I"
    (directory,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
    directory = min(directory, len(data))  # 64 bits may point beyond what an index can be
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    entry = struct.Struct(order + ("HHQ" if big else "HHI"))
    inline = 8 if big else 4
    first = directory + (8 if big else 2)
    found: dict[int, tuple[int, ...]] = {}
    for at in range(first, first + min(count, _MAX_ENTRIES) * (entry.size + inline), entry.size + inline):
        tag, kind, length = entry.unpack_from(data, at)
        if tag not in tags or kind not in _TYPES:
            continue
        content = struct.Struct(f"{order}{min(length, len(data))}{_TYPES[kind]}")
        place = at + entry.size
        if content.size > inline:
            (place,) = struct.unpack_from(order + pointer, data, place)
        found[tag] = content.unpack_from(data, min(place, len(data)))
    return found
