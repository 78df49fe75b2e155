"""Every layout of a TIFF is decoded to the very pixels or refused with a sentence: never silently wrong.

tifffile writes and reads the files, and float arithmetic says what their samples are in 8 bits.
"""

import io
import itertools
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from support.images import SIDES, photograph

from assay.engine.admission import admit
from assay.engine.decode import make_decoder
from assay.engine.decode.tiff import parts
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

COMPRESSIONS = ["none", "lzw", "deflate", "adobe_deflate", "packbits", "zstd", "lzma"]
SAMPLES = {"miniswhite": 1, "minisblack": 1, "rgb": 3, "palette": 1, "separated": 4}
UNREAD = {"jpeg2000": "JPEG 2000", "jpegxl": "JPEG XL", "webp": "WebP", "lerc": "LERC"}
PALETTE = np.random.default_rng(8).integers(0, 1 << 16, (3, 256), dtype=np.uint16)


def source(bits: int, samples: int) -> NDArray[Any]:
    """(*SIDES, samples), or without that axis for one: every value, and smooth parts for predictors."""
    light = np.concatenate([photograph(), photograph(seed=1)], axis=2)[..., :samples].astype(np.float64)
    light += np.random.default_rng(bits).random(light.shape)
    values = np.clip(light / 256 * (1 << bits), 0, (1 << bits) - 1)
    values.reshape(-1)[:4] = 0, (1 << bits) - 1, 1, (1 << bits) // 2
    return np.squeeze(values.astype(np.uint8 if bits <= 8 else np.uint16), 2 if samples == 1 else ())


def rgb_of(values: NDArray[Any], bits: int, photometric: str) -> NDArray[np.uint8]:
    """The oracle, in float64: what 8-bit RGB the samples (height, width[, samples]) are."""
    white = float((1 << bits) - 1)
    if photometric == "palette":
        table = PALETTE[:, : 1 << bits] >> 8
        return table.T[values].astype(np.uint8)
    if photometric in ("miniswhite", "minisblack"):
        share = values / white
        grey = np.floor((1 - share if photometric == "miniswhite" else share) * 255 + 0.5)
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    eight = np.floor(values / 2.0 ** (bits - 8)) if bits >= 8 else np.floor(values / white * 255 + 0.5)
    if photometric == "rgb":
        return eight[..., :3].astype(np.uint8)
    ink, black = eight[..., :3], eight[..., 3:4]
    return np.clip(np.floor((255 - ink) * (255 - black) / 255 + 0.5), 0, 255).astype(np.uint8)


def written(values: NDArray[Any], **options: Any) -> bytes:
    """A TIFF by tifffile, which must itself read back what it wrote."""
    file = io.BytesIO()
    order = options.pop("byteorder", "<")
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False), byteorder=order) as writer:
        writer.write(values, metadata=None, **options)
    return file.getvalue()


def found(data: bytes) -> NDArray[np.uint8] | Refused:
    try:
        (result,) = make_decoder("turbo").decode([(data, admit(data, Limits(), 1))])
    except Refused as refused:
        return refused
    return result


def planes_first(values: NDArray[Any], planar: bool) -> NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planar else values


def check(bits: int, photometric: str, **options: Any) -> None:
    values = source(bits, SAMPLES[photometric])
    planar = options.get("planarconfig") == "separate"
    if photometric == "palette":
        options["colormap"] = PALETTE[:, : 1 << bits]
    elif bits not in (8, 16):
        options["bitspersample"] = bits
    data = written(planes_first(values, planar), photometric=photometric, **options)
    back = tifffile.imread(io.BytesIO(data))
    np.testing.assert_array_equal(back, planes_first(values, planar))
    pixels = found(data)
    assert not isinstance(pixels, Refused), pixels.detail
    right = rgb_of(values, bits, photometric)
    if photometric == "separated":  # Pillow's conversion of inks rounds otherwise by one
        assert np.abs(pixels.astype(int) - right).max() <= 1
    else:
        np.testing.assert_array_equal(pixels, right)


def layouts() -> list[tuple[str, str | None, bool, tuple[int, int] | int | None, str, bool]]:
    """Compression, planes, predictor, tile or rows a strip, byte order, BigTIFF."""
    return [
        (compression, planes, predictor, part, order, big)
        for compression, planes, predictor, part, order, big in itertools.product(
            COMPRESSIONS, ("contig", "separate"), (False, True), (None, 7, (32, 48)), "<>", (False, True)
        )
        if not (predictor and compression in ("none", "packbits"))
    ]


def check_layout(bits: int, photometric: str, layout: tuple[Any, ...]) -> None:
    compression, planes, predictor, part, order, big = layout
    if SAMPLES[photometric] == 1 and planes == "separate":
        return
    options: dict[str, Any] = {"byteorder": order, "bigtiff": big}
    if SAMPLES[photometric] > 1:
        options["planarconfig"] = planes
    if compression != "none":
        options |= {"compression": compression, "predictor": predictor}
    options |= {"tile": part} if isinstance(part, tuple) else {"rowsperstrip": part} if part else {}
    check(bits, photometric, **options)


CASES = list(itertools.product((8, 16), SAMPLES, layouts()))
RARE = [case for case in CASES if not (case[0] == 16 and case[1] == "palette")]


@pytest.mark.parametrize("turn", range(4))
def test_a_share_of_all_layouts(turn: int) -> None:
    for bits, photometric, layout in RARE[turn * 5 :: 97]:
        check_layout(bits, photometric, layout)


@pytest.mark.full
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_all_layouts(compression: str) -> None:
    for bits, photometric, layout in RARE:
        if layout[0] == compression:
            check_layout(bits, photometric, layout)


@pytest.mark.parametrize("bits", [*range(1, 8), *range(9, 16)])
@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack", "rgb"])
def test_odd_depths(photometric: str, bits: int) -> None:
    samples = SAMPLES[photometric]
    values = source(bits, samples)
    numbers = {"miniswhite": 0, "minisblack": 1, "rgb": 2}
    rows = [packed_row(row.reshape(-1), bits) for row in values]
    for order, compression, reverse in itertools.product("<>", (1, 8), (False, True)):
        data = own(rows, order, compression, reverse, {258: [bits] * samples, 262: numbers[photometric]})
        pixels = found(data)
        assert not isinstance(pixels, Refused), pixels.detail
        np.testing.assert_array_equal(pixels, rgb_of(values, bits, photometric))
        if photometric == "minisblack" and bits in (1, 2, 4, 12) and not reverse:
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), values)


def packed_row(samples: NDArray[Any], bits: int) -> bytes:
    """Samples side by side from the highest bit on."""
    text = "".join(f"{sample:0{bits}b}" for sample in samples.tolist())
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def own(
    rows: list[bytes], order: str, compression: int, reverse: bool, tags: dict[int, int | list[int]]
) -> bytes:
    """A TIFF of our own writing with strips of 10 rows: what tifffile does not write."""
    strips = [b"".join(rows[top : top + 10]) for top in range(0, len(rows), 10)]
    strips = [zlib.compress(strip) for strip in strips] if compression == 8 else strips
    if reverse:
        strips = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip) for strip in strips]
    bits = tags[258]
    tags = {256: SIDES[1], 257: SIDES[0], 259: compression, 266: 1 + reverse, 278: 10, **tags}
    tags |= {277: len(bits) if isinstance(bits, list) else 1, 279: [len(strip) for strip in strips]}
    tags[273] = np.cumsum([8, *tags[279][:-1]]).tolist()  # type: ignore[index]
    heap = b"".join(strips)
    heap += bytes(len(heap) % 2)
    entries = b""
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        content = struct.pack(f"{order}{len(values)}I", *values)
        if len(content) > 4:
            content, heap = struct.pack(order + "I", 8 + len(heap)), heap + content
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + content
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(heap))
    return mark + heap + struct.pack(order + "H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_alpha_is_dropped_and_never_left_in_colours(
    photometric: str, planes: str, extra: str, bits: int
) -> None:
    colours = SAMPLES[photometric]
    values = source(bits, colours + 1)
    data = written(
        planes_first(values, planes == "separate"),
        photometric=photometric,
        planarconfig=planes,
        extrasamples=[extra],
        compression="lzw",
    )
    pixels = found(data)
    assert not isinstance(pixels, Refused), pixels.detail
    plain = values[..., 0] if colours == 1 else values[..., :3]
    right = rgb_of(plain, bits, photometric)
    if extra == "assocalpha":
        alpha = (values[..., colours:] >> (bits - 8)).astype(int)
        right = np.where(alpha == 0, 0, np.minimum(right * 255.0 // np.maximum(alpha, 1), 255))
    np.testing.assert_array_equal(pixels, right)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb", "ycbcr"])
@pytest.mark.parametrize("part", [{}, {"rowsperstrip": 16}, {"tile": (32, 48)}])
def test_jpeg_data_have_the_colours_that_the_tags_say(photometric: str, part: dict[str, Any]) -> None:
    """tifffile decodes them by another copy of libjpeg; smooth upsampling ends at the parts' borders."""
    values = photograph() if photometric != "minisblack" else photograph()[..., 0]
    options: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": 90}, **part}
    if photometric == "ycbcr":
        options["subsampling"] = (2, 2) if part else (1, 1)
    data = written(values, photometric="rgb" if photometric == "ycbcr" else photometric, **options)
    back = tifffile.imread(io.BytesIO(data))
    pixels = found(data)
    assert not isinstance(pixels, Refused), pixels.detail
    right = back if back.ndim == 3 else np.repeat(back[..., None], 3, axis=2)
    assert np.abs(pixels.astype(int) - right).max() <= 3


UNREADABLE: dict[str, tuple[dict[str, Any], NDArray[Any], Reason, str]] = {
    **{
        name: (
            {"compression": name, "photometric": "rgb"},
            photograph(),
            Reason.UNSUPPORTED_FORMAT,
            f"compressed as {said}",
        )
        for name, said in UNREAD.items()
    },
    **{
        f"{kind}{bits}": (
            {"photometric": "minisblack"},
            source(8, 1).astype(f"{kind}{bits}"),
            Reason.UNDECODABLE,
            "do not say what is white",
        )
        for kind, bits in itertools.product(("int", "uint", "float"), (8, 16, 32, 64))
        if (kind, bits) not in {("uint", 8), ("uint", 16), ("float", 8)}
    },
    "predictor 3": (
        {"photometric": "minisblack", "compression": "deflate", "predictor": 3},
        source(8, 1).astype(np.float32),
        Reason.UNDECODABLE,
        "do not say what is white",
    ),
    "cielab": ({"photometric": "cielab"}, photograph(), Reason.UNSUPPORTED_FORMAT, "CIELab"),
    "cfa": ({"photometric": "cfa"}, photograph()[..., 0], Reason.UNSUPPORTED_FORMAT, "camera's raw file"),
    "six bands": (
        {"photometric": "minisblack", "planarconfig": "contig"},
        source(8, 6),
        Reason.UNSUPPORTED_FORMAT,
        "6 samples a pixel",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_read_is_named(name: str) -> None:
    options, values, reason, words = UNREADABLE[name]
    refused = found(written(values, **options))
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert words in refused.detail
    assert refused.detail.endswith(".")


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd", "lzma", "jpeg"])
@pytest.mark.parametrize("part", [{}, {"rowsperstrip": 16}, {"tile": (32, 48)}])
def test_a_tiff_cut_within_its_parts_is_truncated(compression: str | None, part: dict[str, Any]) -> None:
    data = written(photograph(), photometric="rgb", compression=compression, **part)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        last = max(page.dataoffsets), page.databytecounts[-1]
    for cut in (1, 5, last[1] // 2):
        refused = found(data[: sum(last) - cut])
        assert isinstance(refused, Refused), cut
        assert refused.reason is Reason.TRUNCATED, refused.detail


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "zstd", "lzma"])
def test_parts_that_lack_rows_are_refused(compression: str) -> None:
    """All strips are there, each with the bytes of half of its rows."""
    whole = written(photograph(), photometric="rgb", compression=compression, rowsperstrip=16)
    half = written(photograph()[:48], photometric="rgb", compression=compression, rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(half)) as file:
        offsets, sizes = file.pages[0].dataoffsets, file.pages[0].databytecounts
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        tags = {
            tag.code: (tag.valueoffset, len(tag.value))
            for tag in file.pages[0].tags
            if tag.code in (273, 279)
        }
        order = {273: [len(whole) + offset for offset in offsets], 279: list(sizes)}
        kinds = {tag.code: tag.dtype for tag in file.pages[0].tags}
    data = bytearray(whole + half)
    for code, (at, count) in tags.items():
        kind = "H" if kinds[code] == 3 else "I"
        struct.pack_into(f"<{count}{kind}", data, at, *order[code][:count])
    assert isinstance(found(bytes(data)), Refused)


def test_many_strips_of_one_jpeg_are_refused_at_the_first() -> None:
    data = written(photograph(), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offset, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        rows = file.pages[0].tags[278].valueoffset
        tables = {code: file.pages[0].tags[code].offset for code in (273, 279)}
    evil = bytearray(data)
    struct.pack_into("<H", evil, rows, 1)
    for code, value in ((273, offset), (279, size)):
        struct.pack_into("<HHII", evil, tables[code], code, 4, SIDES[0], len(evil))
        evil += struct.pack("<I", value) * SIDES[0]
    refused = found(bytes(evil))
    assert isinstance(refused, Refused)
    assert "lie over each other" in refused.detail


def test_a_strip_that_unpacks_to_more_than_was_reserved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"photometric": "rgb", "rowsperstrip": SIDES[0]}
    data = written(source(16, 3), compression="lzw", **options)
    reserved = admit(data, Limits(), 1).peak_bytes
    monkeypatch.setattr(parts, "_SLACK", 12 * SIDES[0] * SIDES[1] - reserved)
    assert not isinstance(found(data), Refused)
    monkeypatch.setattr(parts, "_SLACK", 12 * SIDES[0] * SIDES[1] - 1 - reserved)
    refused = found(data)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.TOO_MANY_PIXELS
    # what is unpacked row by row needs no such room
    assert not isinstance(found(written(source(16, 3), compression="deflate", **options)), Refused)
