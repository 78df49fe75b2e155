"""The items of an AVIF or HEIC: images, tiles, masks and metadata, and where they lie (ISO/IEC 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.engine.admission.isobmff import Box, boxes
from assay.engine.outcome import Reason, Refused

MAX_ITEMS = 1024
"""The tiles of 100 megapixels, their masks, thumbnails and metadata are fewer."""
MAX_EXTENTS = 4096
MAX_TIES = 1 << 14
_SHARED = 4  # times the file's bytes that the items may hold together: equal data are stored once


@dataclass(slots=True)
class Item:
    """`extents` are starts and lengths of its data, `properties` the boxes that describe it, in order."""

    kind: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[Box] = field(default_factory=list)

    def data(self, file: bytes | memoryview) -> bytes | memoryview:
        if len(self.extents) == 1:
            [(start, length)] = self.extents
            return memoryview(file)[start : start + length]
        return b"".join(file[start : start + length] for start, length in self.extents)

    def property(self, kind: bytes) -> Box | None:
        """The last property of a kind."""
        return next((box for box in reversed(self.properties) if box.kind == kind), None)


def read(
    data: bytes | memoryview, meta: dict[bytes, Box], tied: list[Box], known: list[Box]
) -> dict[int, Item]:
    """All items by number.

    `meta` holds the boxes of that name by their kind, `tied` those that tie properties to items (`ipma`),
    `known` all properties.

    Raises:
        Refused: `undecodable`: more items, extents or ties than any program writes, or data that overlap;
            `truncated`: data behind the end of the file.
        struct.error, IndexError: a box ends too early.
    """
    items: dict[int, Item] = {}
    for number, kind in _kinds(data, meta.get(b"iinf")):
        items.setdefault(number, Item()).kind = kind
    _check("items", len(items), MAX_ITEMS)
    if b"iloc" in meta:
        _locate(data, meta[b"iloc"], meta.get(b"idat"), items)
    for number, index in _ties(data, tied):
        if 0 < index <= len(known):
            items.setdefault(number, Item()).properties.append(known[index - 1])
    return items


class Reference(NamedTuple):
    """An item that refers to others: `dimg` to those it is made of, `auxl` to the one it is a plane of."""

    kind: bytes
    source: int
    targets: tuple[int, ...]


def references(data: bytes | memoryview, box: Box | None) -> Iterator[Reference]:
    """The references between items (`iref`).

    Raises:
        Refused: `undecodable`: more than `MAX_TIES` targets.
        struct.error: the box ends too early.
    """
    if box is None:
        return
    number, width = ("H", 2) if data[box.start] == 0 else ("I", 4)
    ties = 0
    for inner in boxes(data, box.start + 4, box.end):
        source, count = struct.unpack_from(f">{number}H", data, inner.start)
        ties += count
        _check("references", ties, MAX_TIES)
        targets = struct.unpack_from(f">{count}{number}", data, inner.start + width + 2)
        yield Reference(inner.kind, source, targets)


def _kinds(data: bytes | memoryview, info: Box | None) -> Iterator[tuple[int, bytes]]:
    if info is None:
        return
    first = info.start + (6 if data[info.start] == 0 else 8)
    for box in boxes(data, first, info.end):
        if box.kind == b"infe" and data[box.start] >= 2:
            layout = ">4xH2x4s" if data[box.start] == 2 else ">4xI2x4s"
            number, kind = struct.unpack_from(layout, data, box.start)
            yield number, kind


def _locate(data: bytes | memoryview, box: Box, stored: Box | None, items: dict[int, Item]) -> None:
    """Give the items their extents (`iloc`); `stored` is the box of data within the metadata (`idat`)."""
    version = data[box.start]
    sizes, more = data[box.start + 4], data[box.start + 5]
    widths = (more >> 4, more & 15 if version else 0, sizes >> 4, sizes & 15)  # base, index, offset, length
    (count,) = struct.unpack_from(">H" if version < 2 else ">I", data, box.start + 6)
    _check("items", count, MAX_ITEMS)
    at = box.start + (8 if version < 2 else 10)
    extents = held = joined = 0
    for _ in range(count):
        number = int.from_bytes(data[at : at + (2 if version < 2 else 4)], "big")
        at += 2 if version < 2 else 4
        method = data[at + 1] & 15 if version else 0
        at += 4 if version else 2
        base, at = _number(data, at, widths[0])
        (parts,) = struct.unpack_from(">H", data, at)
        at += 2
        extents += parts
        _check("extents", extents, MAX_EXTENTS)
        if method == 1:
            base += stored.start if stored else len(data)
        end = stored.end if method == 1 and stored else len(data)
        for _ in range(parts):
            _, at = _number(data, at, widths[1])
            offset, at = _number(data, at, widths[2])
            length, at = _number(data, at, widths[3])
            start = base + offset
            length = length or max(0, end - start)  # 0: all that there is
            if start + length > end:
                raise Refused(
                    Reason.TRUNCATED,
                    f"The data of item {number} should end at byte {start + length}, not at {end}.",
                    bytes=len(data),
                )
            held += length
            joined += length if parts > 1 else 0
            items.setdefault(number, Item()).extents.append((start, length))
    if held > _SHARED * len(data) or joined > len(data):
        raise Refused(
            Reason.UNDECODABLE,
            f"The file's items hold {held} bytes in a file of {len(data)}: they lie over each other.",
            bytes=len(data),
        )


def _ties(data: bytes | memoryview, tied: list[Box]) -> Iterator[tuple[int, int]]:
    """Numbers of items and, from 1, of the properties that belong to them."""
    items = ties = 0
    for box in tied:
        version, wide = data[box.start], data[box.start + 3] & 1
        (entries,) = struct.unpack_from(">I", data, box.start + 4)
        items += entries
        _check("items", items, MAX_ITEMS)
        at = box.start + 8
        for _ in range(entries):
            (number,) = struct.unpack_from(">H" if version == 0 else ">I", data, at)
            at += 2 if version == 0 else 4
            count = data[at]
            ties += count
            _check("ties of properties", ties, MAX_TIES)
            indices = struct.unpack_from(f">{count}{'H' if wide else 'B'}", data, at + 1)
            at += 1 + count * (2 if wide else 1)
            for index in indices:
                yield number, index & (0x7FFF if wide else 0x7F)  # the top bit: essential


def _number(data: bytes | memoryview, at: int, width: int) -> tuple[int, int]:
    """A big-endian number of `width` bytes, and where what follows starts."""
    if at + width > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + width], "big"), at + width


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise Refused(
            Reason.UNDECODABLE, f"The file states {count} {what}; at most {most} are read.", limit=most
        )
