"""The codecs of Kafka's batches, each with an end: a batch that unpacks to too much is refused on the way."""

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

from kafka.errors import CorruptRecordError, UnsupportedCodecError

from assay.engine.settings import MIB

UNPACKED_BYTES = 256 * MIB
"""Most that a batch may unpack to."""

XERIAL = b"\x82SNAPPY\x00"
"""How the framing begins that Java's producers put around blocks of snappy; other producers use none."""


def unpacked(data: memoryview, codec: int) -> memoryview:
    """The records in `data`, which `codec` (the number in a batch's attributes) has packed.

    Raises:
        UnsupportedCodecError: the codec's package is missing, or there is no such codec.
        CorruptRecordError: there is too much in it.
        Exception: what the codec raises for damaged data.
    """
    if codec == 0:
        return data
    if codec not in CODECS:
        raise UnsupportedCodecError(f"it is compressed with codec {codec}, which is not known")
    name, package, unpack = CODECS[codec]
    try:
        return memoryview(unpack(data))
    except ImportError:
        raise UnsupportedCodecError(
            f"it is compressed with {name}, and the package for that is missing: pip install {package}"
        ) from None


def _gzip(data: memoryview) -> bytes:
    return _all(gzip.GzipFile(fileobj=io.BytesIO(data)))


def _snappy(data: memoryview) -> bytes:
    import snappy

    found = io.BytesIO()
    for block in _blocks(bytes(data)):
        _check(found.tell() + _claimed(block))  # which is what would be allocated
        found.write(snappy.decompress(block))
    return found.getvalue()


def _lz4(data: memoryview) -> bytes:
    import lz4.frame

    return _all(lz4.frame.LZ4FrameFile(io.BytesIO(data)))


def _zstd(data: memoryview) -> bytes:
    import zstandard

    return _all(zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True))


CODECS: dict[int, tuple[str, str, Callable[[memoryview], bytes]]] = {
    1: ("gzip", "", _gzip),
    2: ("snappy", "python-snappy", _snappy),
    3: ("lz4", "lz4", _lz4),
    4: ("zstd", "zstandard", _zstd),
}


def _all(stream: Any) -> bytes:
    found = io.BytesIO()
    while piece := stream.read(MIB):
        _check(found.tell() + len(piece))
        found.write(piece)
    return found.getvalue()


def _check(size: int) -> None:
    if size > UNPACKED_BYTES:
        raise CorruptRecordError(f"it unpacks to more than {UNPACKED_BYTES // MIB} MiB")


def _blocks(data: bytes) -> Iterator[bytes]:
    if not data.startswith(XERIAL):
        yield data
        return
    position = 16
    while position < len(data):
        (length,) = struct.unpack_from(">i", data, position)
        position += 4
        if not 0 < length <= len(data) - position:
            raise CorruptRecordError("a block of snappy in it ends behind the batch")
        yield data[position : position + length]
        position += length


def _claimed(block: bytes) -> int:
    """The size that a block of snappy begins with: 7 bits a byte, the lowest first."""
    size = 0
    for number, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            break
    return size
