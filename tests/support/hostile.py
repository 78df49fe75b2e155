"""Files that are all header: what a parser would walk through for seconds if it followed every step."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

JPEG_HEAD = (
    b"\xff\xd8\xff\xc2\0\x11\x08\0\x60\0\x60\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\0\0"
)
"""A progressive JPEG of 96x96 pixels up to its first scan's data."""
GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 99, 99, 0, 0, 0)
PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">IIBBBBB", 99, 99, 8, 2, 0, 0, 0) + bytes(4)
FTYP = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"
SEQUENCE = bytes.fromhex("0a06180c6c636c20")
"""A unit of AV1 that is a sequence header, of 100x100 pixels, for still pictures."""


def webp_head(size: int) -> bytes:
    return b"RIFF" + struct.pack("<I", size - 8) + b"WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\x63\0\0\x63\0\0"


def filled(head: bytes, unit: bytes, size: int, tail: bytes = b"") -> bytes:
    """`unit` between `head` and `tail` as often as goes into `size` bytes."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, content: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24) + content)


def size_box(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))


@dataclass
class Part:
    """An item of an AVIF or HEIC.

    Starts within `payload` and lengths of its data, numbers of properties from 1, and the items that it is
    made of (`dimg`) or a plane of (`auxl`).
    """

    kind: bytes
    extents: Sequence[tuple[int, int]]
    properties: Sequence[int]
    tiles: Sequence[int] = field(default=())
    plane_of: Sequence[int] = field(default=())


def heif(
    parts: dict[int, Part],
    properties: Sequence[bytes],
    payload: bytes,
    *,
    brand: bytes = b"avif",
    primary: int = 1,
) -> bytes:
    """A file of these items, whose data lie in `payload`."""
    infos = [
        full_box(b"infe", struct.pack(">HH4s", number, 0, part.kind) + b"\0", 2)
        for number, part in parts.items()
    ]
    ties = [
        struct.pack(">HB", number, len(part.properties)) + bytes(part.properties)
        for number, part in parts.items()
    ]
    references = [
        box(kind, struct.pack(f">HH{len(targets)}H", number, len(targets), *targets))
        for number, part in parts.items()
        for kind, targets in ((b"dimg", part.tiles), (b"auxl", part.plane_of))
        if targets
    ]

    def meta(start: int) -> bytes:
        places = [
            struct.pack(">HHH", number, 0, len(part.extents))
            + b"".join(struct.pack(">II", start + at, length) for at, length in part.extents)
            for number, part in parts.items()
        ]
        count = struct.pack(">H", len(parts))
        content = [
            full_box(b"pitm", struct.pack(">H", primary)),
            full_box(b"iinf", count + b"".join(infos)),
            full_box(b"iloc", b"\x44\0" + count + b"".join(places)),
            full_box(b"iref", b"".join(references)),
            box(
                b"iprp",
                box(b"ipco", b"".join(properties))
                + full_box(b"ipma", struct.pack(">I", len(parts)) + b"".join(ties)),
            ),
        ]
        return full_box(b"meta", b"".join(content))

    head = box(b"ftyp", brand + b"\0\0\0\0mif1" + brand)
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", payload)


def tiff(entries: Sequence[tuple[int, int, int, int]], body: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF: a directory of (tag, type, count, value or place) at byte 8, then `body`."""
    return b"II*\0\x08\0\0\0" + directory(entries, following) + body


def directory(entries: Sequence[tuple[int, int, int, int]], following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


PLAIN = [(256, 4, 1, 16384), (257, 4, 1, 6000), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1)]
"""A directory's entries for a large grey image, without its strips."""


def _jpeg(unit: bytes, *, behind: bytes = b"", scans: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: filled(JPEG_HEAD + behind, unit, size, scans)


def _many_tags(size: int) -> bytes:
    return tiff([*PLAIN, *((40000 + tag, 3, size // 2 - 8000, 200) for tag in range(900))], bytes(size))


def _same_tags(size: int) -> bytes:
    return tiff([(256 + tag % 2, 3, size // 2 - 8000, 200) for tag in range(1000)], bytes(size))


def _directories(size: int) -> bytes:
    full = [*PLAIN, *((40000 + tag, 3, 1, 1) for tag in range(1000)), (330, 4, 9, 200)]
    length = len(directory(full))
    chain = [directory(full[5:-1], 8 + length * number) for number in range(1, size // length)]
    return tiff(full, b"".join(chain), 8 + length)


def _parts(size: int) -> bytes:
    count = min(size // 5, 64000)
    return tiff(
        [*PLAIN, (322, 4, 1, 64), (323, 4, 1, 32), (324, 4, count, 200), (325, 4, count, 200)], bytes(size)
    )


def _items(unit: bytes, extents: int) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        count = min(1000, size // 100)
        payload = filled(SEQUENCE, unit, max(size - 100 * count, 1000))
        length = min(len(payload), 4 * size // (count * extents))
        tile = Part(b"av01", [(0, length)] * extents, [1] * 15)
        parts = {
            1: Part(b"grid", [(0, 8)], [1], tiles=range(2, count)),
            **dict.fromkeys(range(2, count), tile),
        }
        return heif(parts, [size_box(100, 100)] * 1000, payload)

    return made


SLOW: dict[str, Callable[[int], bytes]] = {
    **{
        f"jpeg, {name} {place}": make
        for name, unit in {
            "fill bytes": b"\xff",
            "coded 0xFF": b"\xff\0",
            "restarts": b"\xff\xd0",
            "scans": b"\xff\xda",
            "empty segments": b"\xff\xfe\0\2",
            "start markers": b"\xff\xd8",
            "fill and codes": b"\xff\xff\0",
            "segments of scans": b"\xff\xfe\xff\xff" + b"\xff\xda" * 32767,
        }.items()
        for place, make in {
            "before the scan": lambda size, unit=unit: filled(b"\xff\xd8", unit, size),
            "behind stray bytes": lambda size, unit=unit: filled(b"\xff\xd8\xff\xe0\0\2\0", unit, size),
            "before 101 scans": _jpeg(unit, scans=b"\xff\xda\0" * 101),
            "behind 99 scans": _jpeg(unit, behind=b"\xff\xda\0" * 99),
        }.items()
    },
    "gif, extensions": lambda size: filled(GIF_HEAD, b"\x21\xfe\0", size),
    "gif, short blocks": lambda size: filled(GIF_HEAD + b"\x21\xfe", b"\1\1", size),
    "gif, long blocks": lambda size: filled(GIF_HEAD + b"\x21\xfe", b"\xff" + bytes(255), size),
    "gif, zeros": lambda size: filled(GIF_HEAD, b"\0", size),
    "webp, chunks": lambda size: filled(webp_head(size), b"JUNK\0\0\0\0", size).ljust(size, b"\0"),
    "webp, frames": lambda size: filled(webp_head(size), b"ANMF\x10\0\0\0" + bytes(16), size).ljust(
        size, b"\0"
    ),
    "png, chunks": lambda size: filled(PNG_HEAD, b"\0\0\0\0tEXt" + bytes(4), size),
    "avif, boxes": lambda size: filled(FTYP, b"\0\0\0\x08free", size),
    "avif, boxes of metadata": lambda size: FTYP + full_box(b"meta", b"\0\0\0\x08free" * (size // 8)),
    "avif, units": _items(b"\x12\0", 1),
    "avif, scattered units": _items(b"\x12\0", 4),
    "avif, sequence headers": _items(SEQUENCE, 1),
    "tiff, large tags": _many_tags,
    "tiff, the same tags": _same_tags,
    "tiff, directories": _directories,
    "tiff, tiles": _parts,
}
"""By name: makers of a file of about a given number of bytes."""
