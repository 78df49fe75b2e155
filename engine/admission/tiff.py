"""The first directory of a TIFF or BigTIFF: its size, and where its parts lie (TIFF 6.0, section 2)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.engine.outcome import Reason, Refused

NEW_SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES = 273, 279, 324, 325
SAMPLES, ROWS_PER_STRIP, PLANAR = 277, 278, 284
TILE_WIDTH, TILE_LENGTH, JPEG_TABLES = 322, 323, 347

_TYPES = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}  # those that hold whole numbers
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
MAX_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """What a directory says of one tag; `place` is the byte at which its `count` values lie."""

    tag: int
    kind: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all its values."""
        return self.count * _SIZES.get(self.kind, 0)


class Tiff:
    """The byte order and pointers of a TIFF; reads directories entry by entry, and values only when asked."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self._order = "<" if data[0] == 0x49 else ">"
        self._big = 43 in data[2:4]
        self._pointer = struct.Struct(self._order + ("Q" if self._big else "I"))
        self._count = struct.Struct(self._order + ("Q" if self._big else "H"))
        self._entry = struct.Struct(self._order + ("HHQ" if self._big else "HHI"))

    @property
    def first(self) -> int:
        """Where the first directory lies."""
        return self._at(8 if self._big else 4)

    def entries(self, directory: int) -> Iterator[Entry]:
        """
        Raises:
            Refused: `undecodable`: more entries than any program writes.
            struct.error: the data end before the directory does.
        """
        (count,) = self._count.unpack_from(self.data, directory)
        if count > MAX_ENTRIES:
            raise Refused(
                Reason.UNDECODABLE,
                f"A directory of the TIFF holds {count} entries; at most {MAX_ENTRIES} are read.",
                limit=MAX_ENTRIES,
            )
        at = directory + self._count.size
        for _ in range(count):
            tag, kind, length = self._entry.unpack_from(self.data, at)
            place = at + self._entry.size
            if length * _SIZES.get(kind, 0) > self._pointer.size:
                place = self._at(place)
            yield Entry(tag, kind, length, place)
            at += self._entry.size + self._pointer.size

    def following(self, directory: int) -> int:
        """Where the directory behind one lies; 0: there is none, or the data end before they say."""
        try:
            (count,) = self._count.unpack_from(self.data, directory)
            size = self._entry.size + self._pointer.size
            return self._at(min(directory + self._count.size + count * size, len(self.data)))
        except struct.error:
            return 0

    def integers(self, entry: Entry, most: int | None = None) -> tuple[int, ...]:
        """The values of an entry, `most` of them; none where they are no whole numbers.

        Raises:
            struct.error: the data end before the values do.
        """
        if entry.kind not in _TYPES:
            return ()
        count = entry.count if most is None else min(entry.count, most)
        count = min(count, len(self.data))  # more than the data can hold: the unpacking says so
        return struct.unpack_from(f"{self._order}{count}{_TYPES[entry.kind]}", self.data, entry.place)

    def array(self, entry: Entry) -> NDArray[np.float64]:
        """All values of an entry, exact up to 2**53; for long lists. Raises as `integers`."""
        if entry.kind not in _TYPES:
            return np.zeros(0)
        if entry.place + entry.size > len(self.data):
            raise struct.error(f"{entry.count} values at byte {entry.place}")
        dtype = f"{self._order}u{_SIZES[entry.kind]}"
        return np.frombuffer(self.data, dtype, entry.count, entry.place).astype(np.float64)

    def _at(self, place: int) -> int:
        (found,) = self._pointer.unpack_from(self.data, place)
        return min(int(found), len(self.data))  # 64 bits may point beyond what an index can be


def values(data: bytes | memoryview, *tags: int) -> dict[int, tuple[int, ...]]:
    """The whole numbers of those of `tags` that the first directory holds, each as it stands there first.

    Raises:
        Refused, struct.error: as of `Tiff.entries` and `Tiff.integers`.
    """
    tiff = Tiff(data)
    found: dict[int, tuple[int, ...]] = {}
    for entry in tiff.entries(tiff.first):
        if entry.tag in tags and entry.tag not in found and entry.kind in _TYPES:
            found[entry.tag] = tiff.integers(entry)
    return found
