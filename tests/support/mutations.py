"""Damaged files: what accidents and attackers make of the files of the corpus."""

import random
import struct
import zlib
from functools import cache

from support.images import evil, good

NUMBERS = [0, 1, 2, 7, 8, 9, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000]
NUMBERS += [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF]
ACCIDENTS = ["flip", "number", "write", "zero", "drop", "repeat", "many", "insert", "cut", "graft", "swap"]
HEADER = 700
"""Bytes in which half of the accidents happen: there they do most."""


@cache
def seeds() -> list[bytes]:
    """Files of every format that is decoded, well and ill."""
    files = [image.data for image in good().values()]
    return files + [image.data for image in evil().values() if 0 < len(image.data) < 200_000]


def mutated(draw: random.Random) -> bytes:
    """A file of the corpus after up to four accidents; of a PNG, half have checksums that hold again."""
    data = bytearray(draw.choice(seeds()))
    for _ in range(draw.randint(1, 4)):
        _accident(draw, data)
    if data.startswith(b"\x89PNG") and draw.random() < 0.5:
        _sign(data)
    return bytes(data)


def _accident(draw: random.Random, data: bytearray) -> None:
    last = max(len(data) - 1, 0)
    at = draw.randint(0, draw.choice([last, min(last, HEADER)]))
    length = draw.randint(1, draw.choice([64, 4096]))
    match draw.choice(ACCIDENTS):
        case "flip":
            data[at : at + 1] = bytes(byte ^ 1 << draw.randint(0, 7) for byte in data[at : at + 1])
        case "number":
            form, mask = draw.choice([("B", 0xFF), ("H", 0xFFFF), ("I", 0xFFFF_FFFF)])
            written = struct.pack(draw.choice("<>") + form, draw.choice(NUMBERS) & mask)
            data[at : at + len(written)] = written
        case "write":
            written = draw.randbytes(draw.randint(1, 8))
            data[at : at + len(written)] = written
        case "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        case "drop":
            del data[at : at + length]
        case "repeat":
            data[at:at] = data[at : at + length]
        case "many":
            data[at:at] = data[at : at + draw.randint(1, 64)] * draw.randint(2, 500)
        case "insert":
            data[at:at] = draw.randbytes(draw.randint(0, 64))
        case "cut":
            del data[at:]
        case "graft":
            data[at:] = draw.choice(seeds())[at:]
        case "swap":
            other = draw.randint(0, last)
            data[at : at + length], data[other : other + length] = (
                data[other : other + length],
                data[at : at + length],
            )


def _sign(data: bytearray) -> None:
    """Make the checksum of each chunk of a PNG right, as far as there are chunks."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
