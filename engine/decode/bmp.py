"""BMP of every header, depth and mask, and its two run-length encodings.

Pillow reads 4 and 8 bits with a palette of black and white as if they were 1 bit, and few masks.
"""

import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import Header
from assay.engine.decode.jpeg import STRIP
from assay.engine.decode.samples import eight_bits, unpacked
from assay.engine.outcome import Reason, Refused

_RAW, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_NAMES = {3: "bit fields", 4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK in runs", 13: "CMYK in runs"}
_OS2, _OS2_SHORT, _OS2_LONG = 12, 16, 64  # sizes of headers
_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})


def decode(data: bytes | memoryview, header: Header) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB, from top to bottom.

    Raises:
        Refused: `truncated`, `undecodable`; `unsupported_format`: a compression that is not read.
    """
    try:
        return _decode(memoryview(data), header)
    except (struct.error, IndexError):
        raise Refused(
            Reason.TRUNCATED,
            f"The BMP ends after {len(data)} bytes, before its image does.",
            format="bmp",
            width=header.width,
            height=header.height,
            bytes=len(data),
        ) from None
    except ValueError as error:  # NumPy, for headers that contradict themselves
        _undecodable(f"contradicts itself ({error})", header)


def _decode(data: memoryview, header: Header) -> NDArray[np.uint8]:
    (start, size) = struct.unpack_from("<II", data, 10)
    compression = colours = 0
    if size == _OS2:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    if size > _OS2_SHORT:
        compression, colours = struct.unpack_from("<I12xI", data, 30)
    if (width, abs(height)) != (header.width, header.height):
        _undecodable(f"states {header.width}x{header.height} pixels, its image {width}x{abs(height)}", header)
    if bits not in _DEPTHS:
        _undecodable(f"states {bits} bits a pixel", header)
    masks = _MASKS.get(bits, ())
    behind = 14 + size
    if compression in (_BITFIELDS, _ALPHA_BITFIELDS) and size != _OS2_LONG and bits in _MASKS:
        stated = struct.unpack_from("<3I", data, 54)
        masks = stated if any(stated) else masks
        behind += {_BITFIELDS: 12, _ALPHA_BITFIELDS: 16}[compression] if size == 40 else 0
    elif compression not in (_RAW, _RLE8, _RLE4) or (compression, bits) in {(_RLE8, 4), (_RLE4, 8)}:
        raise Refused(
            Reason.UNSUPPORTED_FORMAT,
            f"The BMP of {bits} bits is compressed as {_NAMES.get(compression, f'number {compression}')}; "
            "that is not read.",
            format="bmp",
            compression=compression,
        )
    table = _palette(data, behind, bits, colours, 3 if size == _OS2 else 4, start) if bits <= 8 else None
    start = start or behind + (0 if table is None else (colours or 1 << bits) * (3 if size == _OS2 else 4))
    pixels = np.empty((header.height, width, 3), np.uint8)
    upwards = pixels if height < 0 else pixels[::-1]
    for top, values in _rows(data, start, width, header.height, bits, compression):
        target = upwards[top : top + len(values)]
        if table is not None:
            target[:] = table[values]
        elif bits == 24:
            target[:] = values[..., ::-1]
        else:
            for channel, mask in enumerate(masks):
                target[..., channel] = _masked(values, mask)
    return pixels


def _rows(
    data: memoryview, start: int, width: int, height: int, bits: int, compression: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """The stored pixels of some rows at a time, with the number of the first, in the order of the file."""
    at_once = max(1, STRIP // width)
    if compression in (_RLE8, _RLE4):
        indices = _runs(data, start, width, height, compression == _RLE4)
        yield from ((top, indices[top : top + at_once]) for top in range(0, height, at_once))
        return
    stride = (width * bits + 31) // 32 * 4
    for top in range(0, height, at_once):
        count = min(at_once, height - top)
        at = start + top * stride
        # the last row may lack its padding
        least = at + (count - 1) * stride + (width * bits + 7) // 8
        if least > len(data):
            raise IndexError(least)
        raw = np.frombuffer(bytes(data[at : at + count * stride]).ljust(count * stride, b"\0"), np.uint8)
        raw = raw.reshape(count, stride)
        if bits < 8:
            yield top, unpacked(raw, bits, width)
        elif bits in (8, 24):
            found = raw[:, : width * bits // 8]
            yield top, found if bits == 8 else found.reshape(count, width, 3)
        else:
            yield top, raw.view(f"<u{bits // 8}")[:, :width]


def _palette(data: memoryview, at: int, bits: int, colours: int, entry: int, start: int) -> NDArray[np.uint8]:
    """(2**bits, 3) uint8 RGB; black where the file has no colour."""
    count = min(colours or 1 << bits, 1 << bits)
    if start > at:
        count = min(count, (start - at) // entry)  # short palettes exist that do not state their length
    found = np.frombuffer(data[at : at + count * entry], np.uint8)
    if found.size < count * entry:
        raise IndexError(at + count * entry)
    table = np.zeros((1 << bits, 3), np.uint8)
    table[:count] = found.reshape(count, entry)[:, 2::-1]
    return table


def _masked(values: NDArray[Any], mask: int) -> NDArray[np.uint8] | int:
    if mask == 0:
        return 0
    shift = (mask & -mask).bit_length() - 1
    return eight_bits((values & np.uint32(mask)) >> shift, (mask >> shift).bit_length())


def _runs(data: memoryview, at: int, width: int, height: int, four_bits: bool) -> NDArray[np.uint8]:
    """(height, width) palette indices, 0 where the file jumps over pixels.

    Raises:
        IndexError: the data end before their end is said.
    """
    indices = np.zeros((height, width), np.uint8)
    x = y = 0
    while True:
        if at + 2 > len(data) and (y, x) >= (height - 1, width):
            return indices  # all rows are there, and only their end is not said
        count, value = data[at], data[at + 1]
        at += 2
        if count or value > 2:
            size = 1 if count else (value + 1) // 2 if four_bits else value
            at -= 1 if count else 0
            stored = data[at : at + size]
            if len(stored) < size:
                raise IndexError(at + size)
            found = _stretch(bytes(stored), count, value, four_bits)
            at += size if count else size + size % 2
            end = min(x + len(found), width)
            if y < height and x < end:
                indices[y, x:end] = found[: end - x]
            x += len(found)
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return indices
        else:
            x, y = x + data[at], y + data[at + 1]
            at += 2


def _stretch(stored: bytes, count: int, value: int, four_bits: bool) -> NDArray[np.uint8]:
    """The indices of a run of `count` pixels, or of `value` pixels that are stored one by one."""
    found = np.frombuffer(stored * count if count else stored, np.uint8)
    if four_bits:
        found = np.stack([found >> 4, found & 15], axis=1).reshape(-1)
    return found[: count or value]


def _undecodable(fault: str, header: Header) -> NoReturn:
    raise Refused(
        Reason.UNDECODABLE,
        f"The BMP header {fault}.",
        format="bmp",
        width=header.width,
        height=header.height,
    )
