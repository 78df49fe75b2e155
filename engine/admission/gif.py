"""The size of a GIF's first frame (GIF89a, sections 18 and 20).

Many programs state a logical screen smaller than the frame, or none; whoever shows the file grows the screen.
"""

import re
import struct

from assay.engine.outcome import Reason, Refused

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B

MAX_BLOCKS = 1 << 15
"""Blocks before the first frame that are smaller than 255 bytes: comments and metadata of 2 MB have fewer."""
_FULL = re.compile(rb"(?:\xff[\x00-\xff]{255})++")
"""Blocks of 255 bytes, of which all but the last of a long comment are."""


def read(data: bytes | memoryview) -> tuple[int, int, int]:
    """Width and height of the screen that holds the first frame, and the bytes held beside the pixels.

    Raises:
        Refused: `undecodable`: no frame, or more before it than `MAX_BLOCKS`.
        IndexError, struct.error: the data end too early.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    frame = _first_frame(data, 13 + palette_bytes(flags))
    left, top, across, down = struct.unpack_from("<4H", data, frame + 1)
    return max(width, left + across), max(height, top + down), len(data) + 3 * frame


def _first_frame(data: bytes | memoryview, position: int) -> int:
    """Where the descriptor of the first frame starts."""
    kind, blocks = data[position], 0
    while kind != _IMAGE and blocks < MAX_BLOCKS:
        if kind == _TRAILER:
            raise Refused(Reason.UNDECODABLE, "The GIF ends before its first frame.", at=position)
        position += 1
        if kind == _EXTENSION:
            position += 1
            while (length := data[position]) and blocks < MAX_BLOCKS:
                full = _FULL.match(data, position)
                position = full.end() if full else position + 1 + length
                blocks += 1
            position += 1
        blocks += 1
        kind = data[position]
    if kind != _IMAGE:
        raise Refused(
            Reason.UNDECODABLE,
            f"The GIF holds more than {MAX_BLOCKS} blocks before its first frame.",
            limit=MAX_BLOCKS,
        )
    return position


def palette_bytes(flags: int) -> int:
    """Bytes of the colour table that the flags of a screen or a frame announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
