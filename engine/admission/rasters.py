"""Width and height of PNG, WebP, GIF and BMP, each from the place where its header states them."""

import struct
from collections.abc import Callable

from assay.engine.admission import tiff
from assay.engine.outcome import Reason, Refused

_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # sizes of the known BMP headers


def _png(data: bytes | memoryview) -> tuple[int, int]:
    chunk, width, height = struct.unpack_from(">4sII", data, 12)
    if chunk != b"IHDR":
        raise Refused(Reason.UNDECODABLE, "The PNG's first chunk is not its header (IHDR).")
    return width, height


def _gif(data: bytes | memoryview) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def is_bmp(head: bytes) -> bool:
    """Two letters are too little to know a BMP by: its header's size must be one that exists."""
    return (
        head.startswith(b"BM") and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    )


def _bmp(data: bytes | memoryview) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # a negative height: rows from top to bottom


def _webp(data: bytes | memoryview) -> tuple[int, int]:
    riff, chunk = struct.unpack_from("<4xI4x4s", data)
    if riff + 8 > len(data):
        raise Refused(
            Reason.TRUNCATED,
            f"The WebP states {riff + 8} bytes and ends after {len(data)}.",
            format="webp",
            bytes=len(data),
        )
    if chunk == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", data, 23)
        if start != b"\x9d\x01\x2a":
            raise Refused(Reason.UNDECODABLE, "The WebP's frame has no start code.")
        return width & 0x3FFF, height & 0x3FFF  # the upper two bits ask for scaling
    if chunk == b"VP8L":
        signature, bits = struct.unpack_from("<BI", data, 20)
        if signature != 0x2F:
            raise Refused(Reason.UNDECODABLE, "The WebP's lossless frame has no signature.")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        canvas = struct.unpack_from("<6s", data, 24)[0]
        return int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1
    raise Refused(Reason.UNDECODABLE, f"The WebP begins with an unknown chunk {chunk!r}.")


READERS: dict[str, Callable[[bytes | memoryview], tuple[int, int]]] = {
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": tiff.read,
}
