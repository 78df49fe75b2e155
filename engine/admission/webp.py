"""The size of a WebP: that of its canvas, which its first frame may not leave (RFC 9649)."""

import struct
from typing import NamedTuple

from assay.engine.outcome import Reason, Refused

MAX_CHUNKS = 1 << 13
"""Frames of an animation are chunks too; nothing else needs more than a few."""
_BYTES_PER_CHUNK = 256  # that the library holds for each
_ANIMATION = 0x02


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int


def read(data: bytes | memoryview) -> tuple[int, int, int]:
    """Width, height, and the bytes that decoding holds beside the pixels.

    Raises:
        Refused: `truncated`, `undecodable`.
        struct.error: the data end too early.
    """
    (riff,) = struct.unpack_from("<I", data, 4)
    end = riff + 8
    if end > len(data):
        raise Refused(
            Reason.TRUNCATED,
            f"The WebP states {end} bytes and ends after {len(data)}.",
            format="webp",
            bytes=len(data),
        )
    first = _chunk(data, 12, len(data))
    held = 3 * len(data)
    if first.kind != b"VP8X":
        return *_size(data, first), held
    canvas = bytes(data[first.start + 4 : first.start + 10])
    width, height = int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1
    frame, chunks = _frame(data, first, end)
    if frame is not None:
        across, down = _size(data, frame)
        moving = data[first.start] & _ANIMATION
        if across > width or down > height or (not moving and (across, down) != (width, height)):
            raise Refused(
                Reason.UNDECODABLE,
                f"The WebP states {width}x{height} pixels, and its frame {across}x{down}.",
                format="webp",
                width=width,
                height=height,
            )
    return width, height, held + chunks * _BYTES_PER_CHUNK


def _frame(data: bytes | memoryview, first: _Chunk, end: int) -> tuple[_Chunk | None, int]:
    """The first frame's bitstream, None where there is none, and the number of chunks."""
    frame = None
    at = first.end
    for number in range(1, MAX_CHUNKS):
        if at + 8 > end:
            return frame, number
        chunk = _chunk(data, at, end)
        if frame is None and chunk.kind == b"ANMF":
            frame = _within_frame(data, chunk)
        elif frame is None and chunk.kind in (b"VP8 ", b"VP8L"):
            frame = chunk
        at = chunk.end
    raise Refused(Reason.UNDECODABLE, f"The WebP holds more than {MAX_CHUNKS} chunks.", limit=MAX_CHUNKS)


def _within_frame(data: bytes | memoryview, frame: _Chunk) -> _Chunk | None:
    """The bitstream of a frame of an animation, behind 16 bytes of its own and perhaps its alpha."""
    at = frame.start + 16
    for _ in range(4):
        if at + 8 > frame.end:
            return None
        chunk = _chunk(data, at, frame.end)
        if chunk.kind in (b"VP8 ", b"VP8L"):
            return chunk
        at = chunk.end
    return None


def _chunk(data: bytes | memoryview, at: int, end: int) -> _Chunk:
    kind, size = struct.unpack_from("<4sI", data, at)
    return _Chunk(kind, at + 8, min(at + 8 + size + size % 2, end))


def _size(data: bytes | memoryview, chunk: _Chunk) -> tuple[int, int]:
    """Width and height that a bitstream states itself."""
    if chunk.kind == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", data, chunk.start + 3)
        if start != b"\x9d\x01\x2a":
            raise Refused(Reason.UNDECODABLE, "The WebP's frame has no start code.")
        return width & 0x3FFF, height & 0x3FFF  # the upper two bits ask for scaling
    if chunk.kind == b"VP8L":
        signature, bits = struct.unpack_from("<BI", data, chunk.start)
        if signature != 0x2F:
            raise Refused(Reason.UNDECODABLE, "The WebP's lossless frame has no signature.")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise Refused(Reason.UNDECODABLE, f"The WebP begins with an unknown chunk {chunk.kind!r}.")
