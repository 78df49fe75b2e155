"""Width and height of PNG and BMP, from the place where their headers state them.

Like every reader of this package for a format without scans, these return width, height and the bytes that
decoding holds beside the pixels.
"""

import struct

from assay.engine.outcome import Reason, Refused

_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # sizes of the known BMP headers
_RUN_LENGTHS = frozenset({1, 2})
_FARTHEST_JUMP = 255  # rows that a run-length code may skip


def png(data: bytes | memoryview) -> tuple[int, int, int]:
    """
    Raises:
        Refused: `undecodable`.
        struct.error: the data end too early.
    """
    chunk, width, height = struct.unpack_from(">4sII", data, 12)
    if chunk != b"IHDR":
        raise Refused(Reason.UNDECODABLE, "The PNG's first chunk is not its header (IHDR).")
    # Its other chunks are not looked at, here or by a decoder, so they may be any; the image data are joined.
    return width, height, 3 * len(data)


def is_bmp(head: bytes) -> bool:
    """Two letters are too little to know a BMP by: its header's size must be one that exists."""
    return (
        head.startswith(b"BM") and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    )


def bmp(data: bytes | memoryview) -> tuple[int, int, int]:
    """
    Raises:
        struct.error: the data end too early.
    """
    (size,) = struct.unpack_from("<I", data, 14)
    held = len(data)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
        if size >= 40 and int.from_bytes(data[30:34], "little") in _RUN_LENGTHS:
            held += 2 * _FARTHEST_JUMP * abs(width)
    return width, abs(height), held  # a negative height: rows from top to bottom
