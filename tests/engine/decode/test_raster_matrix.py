"""PNG, GIF, WebP and AVIF of every kind against arithmetic, or a reader of other people."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.images import ADAM7, SIDES, encode, photograph, png_chunk

from assay.engine.admission import Header, admit
from assay.engine.decode import Decoded, make_decoder
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
RANDOM = np.random.default_rng(21)
PALETTE = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)


def found(data: bytes, header: Header | None = None) -> Decoded:
    try:
        return make_decoder("turbo").decode([(data, header or admit(data, Limits(), 1))])[0]
    except Refused as refused:
        return refused


def same(data: bytes, right: NDArray[Any], header: Header | None = None) -> None:
    pixels = found(data, header)
    assert not isinstance(pixels, Refused), pixels.detail
    np.testing.assert_array_equal(pixels, right)


def own_png(
    samples: NDArray[Any], colour: int, depth: int, passes: bool, chunks: bytes, after: bytes
) -> bytes:
    """Rows under all five filters in turn, in image data of 1000 bytes a chunk."""
    rows = b""
    grids = [samples[top::down, left::right] for top, left, down, right in ADAM7] if passes else [samples]
    for grid in grids:
        before = b""
        for number, row in enumerate(grid if grid.size else ()):
            text = "".join(f"{value:0{depth}b}" for value in row.reshape(-1).tolist())
            text += "0" * (-len(text) % 8)
            raw = int(text, 2).to_bytes(len(text) // 8, "big")
            rows += filtered(
                raw, before or bytes(len(raw)), number % 5, max(1, CHANNELS[colour] * depth // 8)
            )
            before = raw
    height, width = samples.shape[:2]
    packed = zlib.compress(rows)
    data = b"\x89PNG\r\n\x1a\n"
    data += png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, passes))
    data += chunks
    for at in range(0, len(packed), 1000):
        data += png_chunk(b"IDAT", packed[at : at + 1000])
    return data + after + png_chunk(b"IEND", b"")


def filtered(raw: bytes, above: bytes, kind: int, step: int) -> bytes:
    row, up = np.frombuffer(raw, np.uint8).astype(int), np.frombuffer(above, np.uint8).astype(int)
    left = np.concatenate([np.zeros(step, int), row[:-step]])[: len(row)]
    corner = np.concatenate([np.zeros(step, int), up[:-step]])[: len(row)]
    estimate = left + up - corner
    distances = np.abs(np.stack([estimate - left, estimate - up, estimate - corner]))
    paeth = np.choose(distances.argmin(axis=0), [left, up, corner])
    guess = [0 * row, left, up, (left + up) // 2, paeth][kind]
    return bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()


def png_pixels(samples: NDArray[Any], colour: int, depth: int) -> NDArray[np.uint8]:
    if colour == 3:
        return PALETTE[samples[..., 0]]
    if colour in (2, 6):
        return (samples[..., :3] >> (depth - 8)).astype(np.uint8)
    # grey with alpha of 16 bits keeps its high byte, as colour does
    grey = (
        samples[..., :1] >> 8 if (colour, depth) == (4, 16) else samples[..., :1] / ((1 << depth) - 1) * 255
    )
    return np.repeat(np.floor(grey + 0.5), 3, axis=2).astype(np.uint8)


def png_cases() -> Iterator[tuple[int, int, bool, bool]]:
    for colour, depths in DEPTHS.items():
        yield from itertools.product((colour,), depths, (False, True), (False, True))


@pytest.mark.parametrize(("colour", "depth", "passes", "transparent"), list(png_cases()))
def test_png_of_every_kind(colour: int, depth: int, passes: bool, transparent: bool) -> None:
    samples = RANDOM.integers(0, 1 << depth, (37, 45, CHANNELS[colour]))
    chunks = png_chunk(b"PLTE", PALETTE[: 1 << depth].tobytes()) if colour == 3 else b""
    if transparent:
        first = (
            bytes(range(1 << min(depth, 8)))
            if colour == 3
            else struct.pack(">3H", *[int(samples[0, 0, 0])] * 3)
        )
        chunks += png_chunk(b"tRNS", first if colour in (2, 3) else first[:2])
    data = own_png(samples, colour, depth, passes, chunks, b"")
    same(data, png_pixels(samples, colour, depth))
    if depth == 8 and not transparent:
        back = imagecodecs.png_decode(data)
        right = back[..., :3] if back.ndim == 3 and back.shape[2] > 2 else np.atleast_3d(back)[..., :1]
        np.testing.assert_array_equal(png_pixels(samples, colour, depth), np.broadcast_to(right, (37, 45, 3)))


LARGE = zlib.compress(bytes(5_000_000))
ODD = {
    "large zTXt": png_chunk(b"zTXt", b"prompt\0\0" + LARGE),
    "large iTXt": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "large iCCP": png_chunk(b"iCCP", b"icc\0\0" + LARGE),
    "many zTXt": png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000))) * 70,
    "ten thousand empty texts": png_chunk(b"tEXt", b"k\0") * 10_000,
    "iCCP of another compression": png_chunk(b"iCCP", b"icc\0\7abc"),
    "iCCP without a name's end": png_chunk(b"iCCP", b"icc"),
    "zTXt that does not unpack": png_chunk(b"zTXt", b"k\0\0abcdef"),
    "iTXt cut short": png_chunk(b"iTXt", b"k\0"),
    "empty chunks": b"".join(
        png_chunk(kind, b"")
        for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"bKGD", b"tIME")
    ),
    "frames before the image": png_chunk(b"acTL", struct.pack(">2I", 1 << 30, 0))
    + png_chunk(b"fcTL", struct.pack(">5I2H2B", 0, 9, 9, 5, 5, 1, 1, 0, 0)),
    "private": png_chunk(b"caBX", bytes(100)) + png_chunk(b"vpAg", b"") + png_chunk(b"teXt", b"\xff"),
    "a palette for colours": png_chunk(b"PLTE", b"\1\2\3\4"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_chunks_of_a_png_do_not_decide(name: str) -> None:
    samples = photograph().astype(int)
    same(own_png(samples, 2, 8, False, ODD[name], b""), samples)
    same(own_png(samples, 2, 8, False, b"", ODD[name]), samples)
    split = own_png(samples, 2, 8, False, b"", b"")
    between = split.index(b"IDAT", split.index(b"IDAT") + 4) - 4
    same(split[:between] + ODD[name] + split[between:], samples)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        (png_chunk(b"ABCD", b""), Reason.UNDECODABLE),
        (png_chunk(b"tEXt", b"words")[:-1] + b"!", Reason.UNDECODABLE),
        (struct.pack(">I", 1 << 31) + b"tEXt", Reason.TRUNCATED),
    ],
)
def test_chunks_that_do_decide(chunks: bytes, reason: Reason) -> None:
    refused = found(own_png(photograph().astype(int), 2, 8, False, chunks, b""))
    assert isinstance(refused, Refused)
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("chunks", "after"),
    [
        (b"", b""),
        (b"", png_chunk(b"PLTE", bytes(768))),
        (png_chunk(b"PLTE", b"\1\2"), b""),
    ],
)
def test_a_png_without_its_palette_is_refused(chunks: bytes, after: bytes) -> None:
    refused = found(own_png(photograph()[..., :1].astype(int), 3, 8, False, chunks, after))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.UNDECODABLE


def own_gif(
    indices: NDArray[Any],
    screen: tuple[int, int],
    place: tuple[int, int],
    *,
    interlaced: bool,
    transparent: int | None,
    local: bool,
    before: bytes = b"",
) -> bytes:
    """A GIF whose codes are all literal, of a frame at `place` (top, left) on a `screen` (height, width)."""
    table, other = PALETTE.tobytes(), PALETTE[::-1].tobytes()
    height, width = indices.shape
    order = np.concatenate([np.arange(at, height, step) for at, step in ((0, 8), (4, 8), (2, 4), (1, 2))])
    codes: list[int] = []
    for number, index in enumerate((indices[order] if interlaced else indices).reshape(-1).tolist()):
        codes += ([256] if number % 200 == 0 else []) + [index]
    text = "".join(f"{code:09b}"[::-1] for code in [*codes, 257])
    text += "0" * (-len(text) % 8)
    packed = bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8))
    blocks = b"".join(
        bytes([len(part)]) + part for at in range(0, len(packed), 255) if (part := packed[at : at + 255])
    )
    control = b"" if transparent is None else bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
    flags = 0x40 * interlaced | (0x87 if local else 0)
    return (
        b"GIF89a"
        + struct.pack("<HH3B", screen[1], screen[0], 0xF7, 7, 0)
        + (other if local else table)
        + before
        + control
        + struct.pack("<B4HB", 0x2C, place[1], place[0], width, height, flags)
        + (table if local else b"")
        + b"\x08"
        + blocks
        + b"\0;"
    )


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("transparent", [None, 9])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("screen", "place"), [((37, 45), (0, 0)), ((60, 50), (20, 3)), ((9, 70), (5, 6)), ((0, 0), (0, 0))]
)
def test_gif_of_every_kind(
    screen: tuple[int, int], place: tuple[int, int], interlaced: bool, transparent: int | None, local: bool
) -> None:
    """The screen grows to hold the frame; beside the frame lies the transparent colour, or the first."""
    indices = RANDOM.integers(0, 256, (37, 45))
    data = own_gif(indices, screen, place, interlaced=interlaced, transparent=transparent, local=local)
    canvas = np.full((max(screen[0], place[0] + 37), max(screen[1], place[1] + 45)), transparent or 0)
    canvas[place[0] : place[0] + 37, place[1] : place[1] + 45] = indices
    same(data, PALETTE[canvas], Header("gif", *canvas.shape[::-1]))


def test_comments_and_blocks_of_a_gif_do_not_decide() -> None:
    indices = RANDOM.integers(0, 256, (37, 45))
    many = (
        b"\x21\xfe"
        b"\xff" + b"x" * 255 + b"\1x" * 20_000 + b"\0" + b"\x21\xff\x0bNETSCAPE2.0\0" + b"\x21\x01\0" * 5000
    )
    data = own_gif(indices, (37, 45), (0, 0), interlaced=False, transparent=None, local=False, before=many)
    same(data, PALETTE[indices])
    for cut in (13, 700, 5000, 40_500):
        refused = found(data[:cut])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.TRUNCATED
    refused = found(data[: 13 + 768] + b";")
    assert isinstance(refused, Refused)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True, "exact": True}])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp_of_every_kind(alpha: bool, options: dict[str, Any], moving: bool) -> None:
    values = np.dstack([photograph(), photograph()[..., :1] // 2 + 60])[..., : 4 if alpha else 3]
    image = Image.fromarray(np.ascontiguousarray(values))
    more = {"save_all": True, "append_images": [image.rotate(180)]} if moving else {}
    data = encode(image, "WEBP", **options, **more)
    same(data, imagecodecs.webp_decode(data)[..., :3])
    if "lossless" in options:
        same(data, photograph())


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_avif_of_every_kind(depth: int, sampling: str, alpha: bool) -> None:
    """Eight bits to the very pixel; more are rounded, and their chroma is enlarged in another way."""
    values = np.dstack([photograph(), photograph()[..., :1] // 2 + 60])
    kept = {(True, False): [1], (True, True): [1, 3], (False, False): [0, 1, 2], (False, True): [0, 1, 2, 3]}
    values = np.squeeze(values[..., kept[sampling == "4:0:0", alpha]])
    if depth > 8:
        values = values.astype(np.uint16) << (depth - 8)
    layout = None if sampling == "4:0:0" else sampling.replace(":", "")
    data = imagecodecs.avif_encode(
        np.ascontiguousarray(values), level=90, speed=10, bitspersample=depth, pixelformat=layout
    )
    right = np.atleast_3d(imagecodecs.avif_decode(data))
    right = right[..., :3] if right.shape[2] > 2 else np.repeat(right[..., :1], 3, axis=2)
    pixels = found(data)
    assert not isinstance(pixels, Refused), pixels.detail
    assert pixels.shape == (*SIDES, 3)
    differences = np.abs(pixels - right / ((1 << depth) - 1) * 255)
    assert differences.mean() < (1e-9 if depth == 8 else 3)


@pytest.mark.parametrize("name", ["WEBP", "AVIF"])
def test_metadata_of_webp_and_avif_do_not_decide(name: str) -> None:
    plain = encode(photograph(), name)
    pixels = found(plain)
    assert not isinstance(pixels, Refused)
    exif = Image.Exif()
    exif[0x0112] = 6
    laden = encode(photograph(), name, icc_profile=bytes(1_000_000), exif=exif, xmp=bytes(1_000_000))
    same(laden, pixels)
    assert len(laden) > len(plain) + 1_000_000


def test_a_moving_png_is_its_first_picture() -> None:
    file = io.BytesIO()
    image = Image.fromarray(photograph())
    image.save(file, "PNG", save_all=True, append_images=[image.rotate(180)], default_image=True)
    same(file.getvalue(), photograph())
