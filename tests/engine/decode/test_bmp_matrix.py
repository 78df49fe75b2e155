"""BMP of every header, depth, mask and run-length encoding, written here, against arithmetic."""

import itertools
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.engine.admission import admit
from assay.engine.decode import Decoded, make_decoder
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

SHAPE = (37, 45)
RANDOM = np.random.default_rng(5)
BLACK_AND_WHITE = np.array([[0, 0, 0], [255, 255, 255]])
GREY = np.repeat(np.arange(256)[:, None], 3, axis=1)


def found(data: bytes) -> Decoded:
    try:
        return make_decoder("turbo").decode([(data, admit(data, Limits(), 1))])[0]
    except Refused as refused:
        return refused


def same(data: bytes, right: NDArray[Any]) -> None:
    pixels = found(data)
    assert not isinstance(pixels, Refused), pixels.detail
    np.testing.assert_array_equal(pixels, right)


def bmp(
    body: bytes,
    bits: int,
    size: int = 40,
    *,
    compression: int = 0,
    palette: NDArray[Any] | None = None,
    colours: int = 0,
    masks: tuple[int, ...] = (),
    top_down: bool = False,
    gap: int = 0,
) -> bytes:
    height, width = SHAPE
    packed_masks = struct.pack(f"<{len(masks)}I", *masks)
    if size == 12:
        info = struct.pack("<IHHHH", size, width, height, 1, bits)
    else:
        rows = -height if top_down else height
        info = struct.pack(
            "<IiiHHIIiiII", size, width, rows, 1, bits, compression, len(body), 0, 0, colours, 0
        )
        info = (info + packed_masks).ljust(size, b"\0")[:size] + (packed_masks if size == 40 else b"")
    entries = () if palette is None else palette[:, ::-1].tolist()
    table = b"".join(bytes(entry) + (b"" if size == 12 else b"\0") for entry in entries)
    start = 14 + len(info) + len(table) + gap
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + table + bytes(gap) + body


def rows_of(values: NDArray[Any], bits: int, top_down: bool = False) -> bytes:
    """(height, width) of samples of the given number of bits, in padded rows."""
    rows = []
    for row in values if top_down else values[::-1]:
        if bits >= 8:
            raw = b"".join(int(value).to_bytes(bits // 8, "little") for value in row)
        else:
            text = "".join(f"{value:0{bits}b}" for value in row)
            text += "0" * (-len(text) % 8)
            raw = int(text, 2).to_bytes(len(text) // 8, "big")
        rows.append(raw + bytes(-len(raw) % 4))
    return b"".join(rows)


def scaled(values: NDArray[Any], mask: int) -> NDArray[np.uint8]:
    shift = (mask & -mask).bit_length() - 1
    return np.floor((values & mask) / mask * 255 + 0.5).astype(np.uint8) if shift >= 0 else 0 * values


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [12, 16, 40, 52, 56, 64, 108, 124])
def test_palettes(size: int, bits: int) -> None:
    colour = RANDOM.integers(0, 256, (1 << bits, 3))
    tables = [colour, GREY[:: 255 // ((1 << bits) - 1)], GREY[: 1 << bits], GREY[: 1 << bits][::-1]]
    tables += [BLACK_AND_WHITE, BLACK_AND_WHITE[::-1], colour[: max(2, (1 << bits) - 3)]] if size > 16 else []
    for table, top_down in itertools.product(tables, (False, True) if size > 16 else (False,)):
        indices = RANDOM.integers(0, len(table), SHAPE)
        colours = len(table) if len(table) < 1 << bits else 0
        body = rows_of(indices, bits, top_down)
        for gap in (0, 7):
            data = bmp(body, bits, size, palette=table, colours=colours, top_down=top_down, gap=gap)
            same(data, table[indices])


@pytest.mark.parametrize("size", [12, 40, 52, 56, 108, 124])
@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0x7C00, 0x3E0, 0x1F)),
        (24, (0xFF0000, 0xFF00, 0xFF)),
        (32, (0xFF0000, 0xFF00, 0xFF)),
    ],
)
def test_colours_without_masks(size: int, top_down: bool, bits: int, masks: tuple[int, ...]) -> None:
    values = RANDOM.integers(0, 1 << bits, SHAPE)
    down = top_down and size != 12
    right = np.stack([scaled(values, mask) for mask in masks], axis=2)
    same(bmp(rows_of(values, bits, down), bits, size, top_down=down), right)
    without_padding = bmp(rows_of(values, bits, down), bits, size, top_down=down)
    same(without_padding[: len(without_padding) - (-SHAPE[1] * bits // 8 % 4)], right)


MASKS = {
    16: [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0xF00, 0xF0, 0xF), (0x1F, 0x7E0, 0xF800), (0, 0, 0)],
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF, 0xFF00, 0xFF0000, 0),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
        (0xFF0000, 0, 0, 0),
        (0, 0, 0, 0),
    ],
}
MISSING = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}


@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("bits", MASKS)
def test_masks(bits: int, size: int) -> None:
    for masks in MASKS[bits]:
        values = RANDOM.integers(0, 1 << bits, SHAPE)
        used = masks[:3] if any(masks[:3]) else MISSING[bits]
        right = np.stack([scaled(values, mask) for mask in used], axis=2)
        stated = masks[:3] if size in (40, 52) else (*masks, 0)[:4]
        same(bmp(rows_of(values, bits), bits, size, compression=3, masks=stated), right)


def runs(indices: NDArray[Any], bits: int) -> bytes:
    """Runs and literal stretches in turn; every row has an end, and the image one."""
    body = b""
    for row in indices[::-1].tolist():
        at = 0
        while at < len(row):
            if len(row) - at >= 7 and at % 2:
                part = row[at : at + 7]
                packed = (
                    bytes(part)
                    if bits == 8
                    else bytes(a << 4 | b for a, b in zip(part[::2], [*part[1::2], 0], strict=True))
                )
                body += b"\0\7" + packed + bytes(len(packed) % 2)
                at += 7
            else:
                same_count = next((n for n, value in enumerate(row[at:]) if value != row[at]), len(row) - at)
                body += bytes([same_count, row[at] if bits == 8 else row[at] << 4 | row[at]])
                at += same_count
        body += b"\0\0"
    return body + b"\0\1"


@pytest.mark.parametrize("bits", [4, 8])
def test_runs(bits: int) -> None:
    table = RANDOM.integers(0, 256, (1 << bits, 3))
    compression = {8: 1, 4: 2}[bits]
    indices = RANDOM.integers(0, 3, SHAPE)
    body = runs(indices, bits)
    same(bmp(body, bits, compression=compression, palette=table), table[indices])
    same(
        bmp(body, bits, compression=compression, palette=BLACK_AND_WHITE, colours=2),
        np.where(indices == 1, 255, 0)[..., None] * np.ones(3),
    )
    same(bmp(body[:-4], bits, compression=compression, palette=table), table[indices])
    for cut in (5, 40, len(body) // 2):
        refused = found(bmp(body, bits, compression=compression, palette=table)[:-cut])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.TRUNCATED
    jumps = np.zeros(SHAPE, int)
    jumps[-1, :4], jumps[-2, 6:9] = 7, 5
    seven, five = (7, 5) if bits == 8 else (0x77, 0x55)
    body = bytes([4, seven, 0, 2, 2, 1, 3, five, 0, 1])
    same(bmp(body, bits, compression=compression, palette=table), table[jumps])
    beyond = bytes([200, seven, 0, 2, 255, 255, 9, five, 0, 0, 0, 1])
    jumps[:] = 0
    jumps[-1] = 7
    same(bmp(beyond, bits, compression=compression, palette=table), table[jumps])


def test_what_is_not_read_is_named() -> None:
    for bits, compression, words in (
        (24, 4, "JPEG"),
        (24, 5, "PNG"),
        (8, 3, "bit fields"),
        (8, 77, "number 77"),
    ):
        refused = found(bmp(bytes(6000), bits, compression=compression, palette=GREY))
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.UNSUPPORTED_FORMAT
        assert words in refused.detail
    refused = found(bmp(bytes(6000), 7))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.UNDECODABLE
