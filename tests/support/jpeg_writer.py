"""A JPEG writer of our own, for layouts that no encoder at hand writes: any sampling factors and scans."""

import struct
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Factors = Sequence[tuple[int, int]]
Bits = list[tuple[int, int]]
_STEP = 4  # of all quantisers

_LENGTHS = {  # Huffman codes of each length (ITU-T T.81, K.3.3): luma's, for all components
    0x00: (bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), bytes(range(12))),
    # not the code of the standard: end of block, sixteen zeros, and any run and size in equally long codes
    0x10: (
        bytes([0, 1, 0, 1, 0, 0, 0, 0, 160, 0, 0, 0, 0, 0, 0, 0]),
        bytes([0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))]),
    ),
}
_DCT = np.cos((2 * np.arange(8)[None] + 1) * np.arange(8)[:, None] * np.pi / 16) * 0.5
_DCT[0] /= np.sqrt(2)
_ZIGZAG = sorted(
    range(64), key=lambda at: (sum(divmod(at, 8)), (at // 8 if sum(divmod(at, 8)) % 2 else at % 8))
)


def write(
    planes: Sequence[NDArray[np.uint8]],
    factors: Factors,
    *,
    scans: Literal["one", "one a component", "progressive"] = "one",
    restart: int = 0,
    headers: bytes = b"",
) -> bytes:
    """A JPEG of full-sized (H, W) `planes`, each averaged to its (horizontal, vertical) sampling factors.

    `restart` is the number of MCUs between restart markers; `headers` are segments behind the first marker.
    """
    height, width = planes[0].shape
    widest, highest = (max(sides) for sides in zip(*factors, strict=True))
    grids = [_coefficients(plane, one, widest, highest) for plane, one in zip(planes, factors, strict=True)]
    every = list(range(len(planes)))
    shown = [
        (_ceil(_ceil(height * down, highest), 8), _ceil(_ceil(width * across, widest), 8))
        for across, down in factors
    ]
    plan: list[tuple[list[int], int, int]] = [(every, 0, 63)]
    if scans == "one a component":
        plan = [([number], 0, 63) for number in every]
    elif scans == "progressive":
        plan = [(every, 0, 0), *(([number], 1, 63) for number in every)]
    frame = struct.pack(">BHHB", 8, height, width, len(planes)) + b"".join(
        bytes([number + 1, across << 4 | down, 0]) for number, (across, down) in enumerate(factors)
    )
    written = b"\xff\xd8" + headers + _segment(0xDB, bytes([0, *[_STEP] * 64]))
    written += _segment(0xC2 if scans == "progressive" else 0xC0, frame)
    written += b"".join(
        _segment(0xC4, bytes([kind]) + counts + symbols) for kind, (counts, symbols) in _LENGTHS.items()
    )
    written += _segment(0xDD, struct.pack(">H", restart))
    for chosen, first, last in plan:
        chosen_tables = b"".join(bytes([number + 1, 0]) for number in chosen)
        written += _segment(0xDA, bytes([len(chosen)]) + chosen_tables + bytes([first, last, 0]))
        units = _units(grids, factors, chosen, shown)
        written += _coded(units, first, last, restart)
    return written + b"\xff\xd9"


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _coefficients(
    plane: NDArray[np.uint8], factors: tuple[int, int], widest: int, highest: int
) -> NDArray[np.int64]:
    """(rows, columns, 64) quantised coefficients in zigzag order, of whole MCUs."""
    across, down = factors
    height, width = (
        -(-side // (8 * most)) for side, most in zip(plane.shape, (highest, widest), strict=True)
    )
    edge = (height * 8 * highest - plane.shape[0], width * 8 * widest - plane.shape[1])
    full = np.pad(plane.astype(np.float64), ((0, edge[0]), (0, edge[1])), mode="edge")
    smaller = full.reshape(height * 8 * down, highest // down, width * 8 * across, widest // across).mean(
        axis=(1, 3)
    )
    blocks = (smaller - 128).reshape(height * down, 8, width * across, 8).transpose(0, 2, 1, 3)
    quantised = np.rint(_DCT @ blocks @ _DCT.T / _STEP).astype(np.int64)
    return quantised.reshape(*quantised.shape[:2], 64)[..., _ZIGZAG]


def _units(
    grids: list[NDArray[np.int64]], factors: Factors, chosen: list[int], shown: list[tuple[int, int]]
) -> Iterator[list[tuple[int, NDArray[np.int64]]]]:
    """The blocks of each MCU of a scan, with the number of their component."""
    if len(chosen) == 1:
        rows, columns = shown[chosen[0]]
        for row in range(rows):
            for column in range(columns):
                yield [(chosen[0], grids[chosen[0]][row, column])]
        return
    across, down = factors[0]
    for top in range(grids[0].shape[0] // down):
        for left in range(grids[0].shape[1] // across):
            yield [
                (number, grids[number][top * factors[number][1] + y, left * factors[number][0] + x])
                for number in chosen
                for y in range(factors[number][1])
                for x in range(factors[number][0])
            ]


def _coded(
    units: Iterator[list[tuple[int, NDArray[np.int64]]]], first: int, last: int, restart: int
) -> bytes:
    codes = {kind: dict(_codes(*table)) for kind, table in _LENGTHS.items()}
    written, bits, before = b"", [], {}
    for count, unit in enumerate(units):
        if restart and count and count % restart == 0:
            written += _packed(bits) + bytes([0xFF, 0xD0 + (count // restart - 1) % 8])
            bits, before = [], {}
        for number, block in unit:
            if first == 0:
                _number(bits, codes[0], 0, int(block[0]) - before.get(number, 0))
                before[number] = int(block[0])
            _following(bits, codes[0x10], block[max(1, first) : last + 1])
    return written + _packed(bits)


def _following(bits: Bits, codes: dict[int, tuple[int, int]], coefficients: NDArray[np.int64]) -> None:
    """All coefficients but the first of a block."""
    done = 0
    for at in np.flatnonzero(coefficients).tolist():
        run = at - done
        bits.extend([codes[0xF0]] * (run // 16))
        _number(bits, codes, run % 16, int(coefficients[at]))
        done = at + 1
    if done < len(coefficients):
        bits.append(codes[0x00])


def _number(bits: Bits, codes: dict[int, tuple[int, int]], run: int, value: int) -> None:
    size = abs(value).bit_length()
    bits.append(codes[run << 4 | size])
    if size:
        bits.append((value if value > 0 else value + (1 << size) - 1, size))


def _codes(counts: bytes, symbols: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    code, place = 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            yield symbols[place], (code, length)
            code, place = code + 1, place + 1
        code <<= 1


def _packed(bits: Bits) -> bytes:
    text = "".join(f"{value:0{length}b}" for value, length in bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0") if text else b""
