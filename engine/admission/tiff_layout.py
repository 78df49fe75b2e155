"""The size of a TIFF's first image, and whether its parts are as many as that size has room for.

Strips, tiles and tags are lists that the file may make as long as it likes, and any of them may point at the
same bytes: they are counted before a decoder unpacks them.
"""

from collections.abc import Iterable

import numpy as np

from assay.engine.admission import raw
from assay.engine.admission.tiff import (
    BITS,
    COMPRESSION,
    LENGTH,
    PHOTOMETRIC,
    PLANAR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIP_OFFSETS,
    STRIP_SIZES,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_SIZES,
    TILE_WIDTH,
    WIDTH,
    Entry,
    Tiff,
)
from assay.engine.outcome import Reason, Refused

_SINGLE = (WIDTH, LENGTH, COMPRESSION, PHOTOMETRIC, SAMPLES, ROWS_PER_STRIP, PLANAR, TILE_WIDTH, TILE_LENGTH)
_LISTS = (STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES, BITS)
_NO_COMPRESSION = 1
_ROW_BY_ROW = frozenset({_NO_COMPRESSION, 8, 32946})  # uncompressed and deflated: no part is held whole

MAX_PARTS = 1 << 16
"""Strips or tiles: 100 megapixels in tiles of 64x64 pixels, or in rows of 1,526, have fewer."""
_SHARED = 4  # times the file's bytes that its parts may add up to: programs share the bytes of equal tiles
_SLACK = 1 << 16
_LARGE_TILE = 1 << 22
_BYTES_PER_PART = 640  # that decoders hold for a strip or tile, as measured
_COPIES_OF_TAGS = 3  # the reader's, the library's, and one while it is read
# Decoders make an object of each value, but of bytes outside of the tags that describe an image.
_BYTES = frozenset({1, 6, 7})
_DESCRIBING = range(254, 348)
_TEXT = 2
_BYTES_PER_VALUE = 64


def read(data: bytes | memoryview) -> tuple[int, int, int]:
    """Width, height, and the bytes that decoding holds beside the pixels.

    Raises:
        Refused: `unsupported_format`: a camera's raw file; `undecodable`: no size, or parts and tags that
            cannot be those of an image of this size.
        struct.error: the data end before the directory does.
    """
    tiff = Tiff(data)
    entries = list(tiff.entries(tiff.first))
    raw.refuse(tiff, entries)
    layout = {entry.tag: entry for entry in entries if entry.tag in _SINGLE or entry.tag in _LISTS}
    if sum(entry.tag in layout for entry in entries) > len(layout):
        raise _undecodable("The TIFF's directory says one thing of its image twice.")
    says = {
        tag: found[0]
        for tag, entry in layout.items()
        if tag in _SINGLE and (found := tiff.integers(entry, 1))
    }
    width, height = says.get(WIDTH, 0), says.get(LENGTH, 0)
    if not (width and height):
        raise _undecodable("The TIFF's first directory states no width and height.")
    samples = says.get(SAMPLES, 1)
    bits = max(tiff.integers(layout[BITS], 16), default=1) if BITS in layout else 1
    across, down = width, min(says.get(ROWS_PER_STRIP) or height, height)
    offsets, sizes = layout.get(STRIP_OFFSETS), layout.get(STRIP_SIZES)
    if TILE_WIDTH in says and TILE_LENGTH in says:
        across, down = says[TILE_WIDTH], says[TILE_LENGTH]
        offsets, sizes = layout.get(TILE_OFFSETS, offsets), layout.get(TILE_SIZES, sizes)
        _check_tile(across, down, width, height)
    room = -(-width // across) * -(-height // down) * (samples if says.get(PLANAR) == 2 else 1)
    for tag in (STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES):
        _check_parts(layout.get(tag), min(room, MAX_PARTS), width, height)
    compression = says.get(COMPRESSION, _NO_COMPRESSION)
    if compression != _NO_COMPRESSION and offsets and sizes:
        _check_overlap(tiff, offsets, sizes)
    part = 0 if compression in _ROW_BY_ROW else down * -(-across * samples * bits // 8)
    count = max((entry.count for entry in (offsets, sizes) if entry), default=0)
    return width, height, len(data) + 2 * part + count * _BYTES_PER_PART + _tags(entries, len(data))


def _check_tile(across: int, down: int, width: int, height: int) -> None:
    if not (across and down) or across * down > max(_LARGE_TILE, 4 * width * height):
        raise _undecodable(
            f"The TIFF states tiles of {across}x{down} pixels in an image of {width}x{height}.",
            width=width,
            height=height,
        )


def _check_parts(entry: Entry | None, most: int, width: int, height: int) -> None:
    if entry is not None and entry.count > most:
        raise _undecodable(
            f"The TIFF states {entry.count} strips or tiles; "
            f"an image of {width}x{height} pixels has at most {most} of this size.",
            width=width,
            height=height,
            limit=most,
        )


def _check_overlap(tiff: Tiff, offsets: Entry, sizes: Entry) -> None:
    """Refuse parts that add up to far more than the file: unpacking one part many times over takes hours."""
    starts, lengths = tiff.array(offsets), tiff.array(sizes)
    if starts.size != lengths.size:
        return
    size = len(tiff.data)  # parts beyond the end are the decoder's to find
    held = int((np.minimum(starts + lengths, size) - np.minimum(starts, size)).sum())
    if held > _SHARED * size + _SLACK:
        raise _undecodable(
            f"The TIFF's strips or tiles hold {held} bytes in a file of {size}: they lie over each other.",
            bytes=size,
        )


def _tags(entries: Iterable[Entry], size: int) -> int:
    """Bytes that decoders hold for all tags; those whose values lie beyond the end are skipped."""
    present = [entry for entry in entries if entry.place + entry.size <= size]
    held = sum(entry.size for entry in present)
    if held > size + _SLACK:
        raise _undecodable(
            f"The TIFF's tags hold {held} bytes in a file of {size}: they lie over each other.", bytes=size
        )
    objects = sum(
        entry.count
        for entry in present
        if entry.kind != _TEXT and (entry.kind not in _BYTES or entry.tag in _DESCRIBING)
    )
    return _COPIES_OF_TAGS * held + _BYTES_PER_VALUE * objects


def _undecodable(detail: str, **about: int) -> Refused:
    return Refused(Reason.UNDECODABLE, detail, format="tiff", **about)
