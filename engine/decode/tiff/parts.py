"""The unpacked bytes of a TIFF's strips and tiles, a few rows at a time.

Uncompressed and deflated data are read row by row. For LZW, PackBits, LZMA and Zstandard libtiff is used as
an unpacker of bytes: it is given a TIFF of our own making, 8 bits of grey, that holds the same strips, so
that nothing that it or Pillow would make of other samples matters.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from assay.engine.admission import Header
from assay.engine.decode.tiff import layout as tags
from assay.engine.decode.tiff.layout import Layout
from assay.engine.outcome import Reason, Refused

Rows = NDArray[np.uint8]
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_AT_ONCE = 1 << 20
"""Bytes that libtiff unpacks at once, if one strip or tile is not larger."""
_SLACK = 8 << 20
_PIECE = 1 << 16


class Part(Protocol):
    """One strip or tile, read from its top."""

    def read(self, rows: int) -> Rows:
        """(rows, row_bytes) uint8: the next rows.

        Raises:
            Refused: `truncated`, `undecodable`.
        """
        ...


def unpacked(data: bytes | memoryview, layout: Layout, header: Header) -> Iterator[tuple[int, list[Part]]]:
    """The number of every place with its part in each plane that is used, in the order of the file.

    Raises:
        Refused: `truncated`, `undecodable`; `too_many_pixels` where unpacking takes more than was reserved.
    """
    planes = layout.used if layout.planar else 1
    if layout.compression in (tags.NONE, tags.DEFLATE, tags.OLD_DEFLATE):
        one = _Plain if layout.compression == tags.NONE else _Deflated
        for place in range(layout.places):
            yield place, [one(data, layout, plane * layout.places + place) for plane in range(planes)]
        return
    size = layout.row_bytes * layout.part_height * planes
    packed = sum(layout.sizes) if layout.places == 1 else 0
    if 2 * size + packed + header.decoded_bytes > header.peak_bytes + _SLACK:
        raise Refused(
            Reason.TOO_MANY_PIXELS,
            f"The TIFF's strips or tiles unpack to {size} bytes each, more than there is room for at once.",
            format="tiff",
            width=header.width,
            height=header.height,
        )
    together = max(1, _AT_ONCE // size)
    for start in range(0, layout.places, together):
        places = range(start, min(start + together, layout.places))
        short = [place for place in places if layout.rows(place) != layout.rows(start)]
        for group in (places[: len(places) - len(short)], short):
            numbers = [plane * layout.places + place for place in group for plane in range(planes)]
            found = _by_libtiff(data, layout, numbers) if group else []
            for turn, place in enumerate(group):
                yield place, found[turn * planes : (turn + 1) * planes]


def packed(data: bytes | memoryview, layout: Layout, number: int) -> bytes | memoryview:
    """The bytes of a strip or tile as they are stored, the highest bit first.

    Raises:
        Refused: `truncated`.
    """
    return _stored(data, layout, layout.offsets[number], layout.sizes[number])


def _stored(data: bytes | memoryview, layout: Layout, offset: int, size: int) -> bytes | memoryview:
    if offset + size > len(data):
        raise Refused(
            Reason.TRUNCATED,
            f"The TIFF ends after {len(data)} bytes; a strip or tile should end at byte {offset + size}.",
            format="tiff",
            bytes=len(data),
        )
    stored = memoryview(data)[offset : offset + size]
    return bytes(stored).translate(_REVERSED) if layout.reversed else stored


class _Plain:
    """Uncompressed rows. Stated sizes are not asked: many programs state wrong ones, and none is needed."""

    def __init__(self, data: bytes | memoryview, layout: Layout, number: int) -> None:
        self._data, self._layout = data, layout
        self._at = layout.offsets[number]

    def read(self, rows: int) -> Rows:
        size = rows * self._layout.row_bytes
        stored = _stored(self._data, self._layout, self._at, size)
        self._at += size
        return np.frombuffer(stored, np.uint8).reshape(rows, -1)


class _Deflated:
    """Rows of a zlib stream, whose checksum is asked for when all have been read."""

    def __init__(self, data: bytes | memoryview, layout: Layout, number: int) -> None:
        self._layout = layout
        self._left = layout.rows(number % layout.places)
        self._packed = memoryview(packed(data, layout, number))
        self._stream = zlib.decompressobj()

    def read(self, rows: int) -> Rows:
        wanted = rows * self._layout.row_bytes
        unpacked = np.frombuffer(b"".join(self._bytes(wanted)), np.uint8)
        if unpacked.size < wanted:
            raise Refused(
                Reason.TRUNCATED,
                f"A strip or tile of the TIFF lacks {wanted - unpacked.size} bytes.",
                format="tiff",
            )
        self._left -= rows
        if self._left == 0:
            self._finish()
        return unpacked.reshape(rows, -1)

    def _bytes(self, wanted: int) -> Iterator[bytes]:
        while wanted and not self._stream.eof:
            given: bytes | memoryview = self._stream.unconsumed_tail
            if not given:
                given, self._packed = self._packed[:_PIECE], self._packed[_PIECE:]
            unpacked = self._stream.decompress(given, wanted)
            if not (given or unpacked):
                return
            wanted -= len(unpacked)
            yield unpacked

    def _finish(self) -> None:
        """Read to the stream's end; some programs fill up the last strip, but not beyond its full size."""
        beyond = sum(map(len, self._bytes(self._layout.row_bytes * self._layout.part_height)))
        if not self._stream.eof:
            raise Refused(
                Reason.UNDECODABLE if beyond else Reason.TRUNCATED,
                "A strip or tile of the TIFF has no end where it should be: its data are damaged.",
                format="tiff",
            )


class _Sliced:
    """Rows of what libtiff unpacked, from `top` on."""

    def __init__(self, unpacked: Image.Image, top: int) -> None:
        self._unpacked, self._top = unpacked, top

    def read(self, rows: int) -> Rows:
        top, self._top = self._top, self._top + rows
        return np.asarray(self._unpacked.crop((0, top, self._unpacked.width, top + rows)))


class _Unpacker(TiffImagePlugin.TiffImageFile):
    def load_prepare(self) -> None:
        """Without Pillow's limit on pixels: the size is ours, and within what was reserved."""
        ImageFile.ImageFile.load_prepare(self)


def _by_libtiff(data: bytes | memoryview, layout: Layout, numbers: list[int]) -> list[Part]:
    """The unpacked parts with these numbers, which have the same number of rows."""
    stored = [packed(data, layout, number) for number in numbers]
    rows = layout.rows(numbers[0] % layout.places)
    with _Unpacker(_grey(stored, layout.row_bytes, rows, layout.compression)) as image:
        try:
            image.load()
        except OSError:  # its words are a number
            raise Refused(
                Reason.UNDECODABLE,
                f"libtiff cannot unpack a strip or tile of the TIFF (compression {layout.compression}): "
                "its data are damaged.",
                format="tiff",
                compression=layout.compression,
            ) from None
        return [_Sliced(image, turn * rows) for turn in range(len(numbers))]


def _grey(strips: list[bytes | memoryview], width: int, rows: int, compression: int) -> io.BytesIO:
    """A TIFF of 8-bit grey that is `width` pixels wide and has `rows` rows a strip."""
    count = len(strips)
    sizes = np.array([len(strip) for strip in strips], np.uint32)
    tables = 8 + 2 + 9 * 12 + 4
    offsets = tables + 8 * count + np.cumsum(sizes) - sizes
    entries = (
        (256, 1, width),
        (257, 1, rows * count),
        (258, 1, 8),
        (259, 1, compression),
        (262, 1, tags.BLACK_IS_ZERO),
        (273, count, tables if count > 1 else int(offsets[0])),
        (277, 1, 1),
        (278, 1, rows),
        (279, count, tables + 4 * count if count > 1 else int(sizes[0])),
    )
    file = io.BytesIO()
    file.write(struct.pack("<4sIH", b"II*\0", 8, len(entries)))
    for tag, length, value in entries:
        file.write(struct.pack("<HHII", tag, 4, length, value))
    file.write(bytes(4) + offsets.astype("<u4").tobytes() + sizes.astype("<u4").tobytes())
    file.writelines(strips)
    file.seek(0)
    return file
