"""Good and evil images, built in memory: what a stream of uploads holds, and what it should not.

`good()` maps a name to an encoded image and its pixels, `evil()` a name to data that must be refused and the
reasons that are right. Both are made once a process and are the same in every run.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from support.jpeg_writer import write

from assay.engine.outcome import Reason

Pixels = NDArray[np.uint8]
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, step of rows and step of columns of a PNG's seven interlacing passes."""
SIDES = (96, 131)
"""Height and width of the corpus: small, and no multiple of a JPEG block."""


@dataclass(frozen=True)
class Good:
    """`data` decodes to exactly `pixels`."""

    data: bytes
    pixels: Pixels


@dataclass(frozen=True)
class Evil:
    """`data` must be refused for one of `reasons`."""

    data: bytes
    reasons: frozenset[Reason]


def photograph(height: int = SIDES[0], width: int = SIDES[1], seed: int = 0) -> Pixels:
    """(height, width, 3) uint8: light that varies smoothly, edges and sensor noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = np.zeros((height, width, 3))
    for _ in range(6):
        direction, phase = random.normal(0, 12, 2), random.uniform(0, 6.3, 3)
        light += np.sin(direction[0] * y[..., None] + direction[1] * x[..., None] + phase) * random.uniform(
            8, 30
        )
    for _ in range(4):
        top, left = random.uniform(0, 0.8, 2)
        light[(y > top) & (y < top + 0.2) & (x > left) & (x < left + 0.2)] += random.uniform(-60, 60, 3)
    return np.clip(light + 128 + random.normal(0, 6, light.shape), 0, 255).astype(np.uint8)


def encode(pixels: Pixels | Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """`pixels` as Pillow writes them in `format`."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def read_by_pillow(data: bytes) -> Pixels:
    """The oracle for lossy files: Pillow's decoder, conversion to RGB, no orientation."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def png(
    pixels: NDArray[Any],
    colour: int,
    depth: int,
    *,
    chunks: bytes = b"",
    size: tuple[int, int] | None = None,
    passes: int = 0,
) -> bytes:
    """A PNG of our own writing, for what Pillow does not write.

    That is: 16-bit colour, another `size` (height, width) than the pixels have, and interlacing with the
    first `passes` of its seven passes.
    """
    height, width = size or pixels.shape[:2]
    big_endian = pixels.astype(">u2" if depth == 16 else "u1")
    grids = [big_endian[top::down, left::right] for top, left, down, right in ADAM7[:passes]] or [big_endian]
    rows = b"".join(b"\0" + row.tobytes() for grid in grids for row in grid)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, passes > 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """(position, code) of every marker of a JPEG, those within entropy-coded data (restarts) included."""
    position = 0
    while position + 1 < len(data):
        code = data[position + 1]
        if data[position] != 0xFF or code in (0x00, 0xFF):
            position += 1
            continue
        yield position, code
        alone = code in (0x01, 0xD8, 0xD9) or 0xD0 <= code <= 0xD7
        position += 2 if alone else 2 + int.from_bytes(data[position + 2 : position + 4], "big")


def find_marker(data: bytes, *codes: int) -> int:
    """Where the first marker with one of `codes` starts."""
    return next(position for position, code in jpeg_markers(data) if code in codes)


def with_size(data: bytes, height: int, width: int) -> bytes:
    """A JPEG whose frame header states another size than its data have."""
    at = find_marker(data, 0xC0, 0xC1, 0xC2)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def with_segment(data: bytes, code: int, content: bytes) -> bytes:
    """A JPEG with one more segment, right behind its first marker."""
    return data[:2] + struct.pack(">BBH", 0xFF, code, len(content) + 2) + content + data[2:]


def behind_jfif(data: bytes, inserted: bytes) -> bytes:
    """A JPEG with more bytes behind its first segment."""
    end = 4 + int.from_bytes(data[4:6], "big")
    return data[:end] + inserted + data[end:]


def with_scan_parameters(data: bytes, *parameters: int) -> bytes:
    """A JPEG whose scans state other spectral selection and approximation: the last three bytes."""
    for at, code in jpeg_markers(data):
        if code == 0xDA:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            data = data[: end - 3] + bytes(parameters) + data[end:]
    return data


def planes(photo: Pixels) -> list[Pixels]:
    """Luma and both chromas of an RGB image, unsampled."""
    return [np.asarray(plane) for plane in Image.fromarray(photo).convert("YCbCr").split()]


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose first scan is there `count` times over."""
    data = encode(photograph(), progressive=True)
    scans = [position for position, code in jpeg_markers(data) if code == 0xDA]
    after_first = min(position for position, _ in jpeg_markers(data) if position > scans[0])
    return data[: scans[0]] + data[scans[0] : after_first] * count + data[after_first:]


@cache
def good() -> dict[str, Good]:
    """Every format and variant that must decode."""
    photo = photograph()
    return {**_good_jpegs(photo), **_good_pngs(photo), **_good_tiffs(photo), **_good_others(photo)}


def _good_jpegs(photo: Pixels) -> dict[str, Good]:
    image = Image.fromarray(photo)
    baseline = encode(photo, quality=90)
    turned, named = Image.Exif(), Image.Exif()
    turned[0x0112] = 6
    named[0x010F] = "\xff\xda" * 200
    cyan_to_black = np.concatenate([photo, 255 - photo[..., :1]], axis=2)
    cmyk = encode(Image.fromarray(cyan_to_black, "CMYK"), quality=92)
    adobe = cmyk.index(b"Adobe")
    files = {
        "jpeg 4:2:0": encode(photo, quality=75),
        "jpeg 4:2:2": encode(photo, quality=90, subsampling=1),
        "jpeg 4:4:4": encode(photo, quality=95, subsampling=0),
        "jpeg optimised": encode(photo, optimize=True),
        "jpeg progressive": encode(photo, progressive=True),
        "jpeg grey": encode(image.convert("L")),
        "jpeg grey progressive": encode(image.convert("L"), progressive=True),
        "jpeg rgb": encode(photo, keep_rgb=True),
        "jpeg cmyk": cmyk,
        "jpeg ycck": cmyk[: adobe + 11] + b"\x02" + cmyk[adobe + 12 :],
        "jpeg restart markers": encode(photo, restart_marker_blocks=3),
        "jpeg turned by exif": encode(photo, exif=turned),
        "jpeg with scan markers in its exif": encode(photo, exif=named, progressive=True),
        "jpeg with a thumbnail": with_segment(baseline, 0xE1, b"Exif\0\0" + encode(photo[::8, ::8])),
        "jpeg with a colour profile": encode(photo, icc_profile=bytes(200_000)),
        "jpeg with fill bytes": baseline[:2] + b"\xff" * 9 + baseline[2:],
        "jpeg with junk behind its end": baseline + b"junk \xff\xda" * 300,
        "jpeg progressive with junk behind its end": encode(photo, progressive=True) + b"\xff\xda\0" * 300,
        "jpeg with junk before its end": baseline[:-2] + b"\0\1\2\3" + baseline[-2:],
        "jpeg of two pictures": encode(photo, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "jpeg 8x8": encode(photo[:8, :8]),
        "jpeg 1 row": encode(photo[:1]),
        "jpeg 1 column": encode(photo[:, :1]),
        "jpeg without the standard Huffman tables": _without_segments(baseline, 0xC4),
    }
    files |= _odd_sampling(photo)
    as_written = read_by_pillow(baseline)
    return {
        **{name: Good(data, read_by_pillow(data)) for name, data in files.items()},
        **{name: Good(data, as_written) for name, data in _odd_headers(baseline).items()},
    }


def _odd_headers(data: bytes) -> dict[str, bytes]:
    """Forms of a JPEG that libjpeg warns about, of which decoders make the same pixels."""
    bare = _without_segments(data, 0xE0)
    pieces = with_segment(data, 0xE2, b"ICC_PROFILE\0\1\2" + bytes(500))
    frame, scan = find_marker(data, 0xC0), find_marker(data, 0xDA)
    return {
        "jpeg of odd scan parameters": with_scan_parameters(data, 0, 0, 0),
        "jpeg of progressive scan parameters": with_scan_parameters(data, 1, 5, 0x21),
        "jpeg of an unknown jfif": data[:11] + b"\2\1" + data[13:],
        "jpeg of an unknown adobe transform": with_segment(bare, 0xEE, b"Adobe\0\x64\0\0\0\0\5"),
        "jpeg with half of a colour profile": pieces,
        "jpeg with no number of a colour profile": with_segment(data, 0xE2, b"ICC_PROFILE\0\0\0" + bytes(99)),
        "jpeg with junk between segments": behind_jfif(data, b"junk"),
        "jpeg with junk before its frame": data[:frame] + bytes(7) + data[frame:],
        "jpeg with much junk before its scan": data[:scan] + b"\xff\0junk" * 100 + data[scan:],
        "jpeg with everything odd at once": with_scan_parameters(
            behind_jfif(pieces[:-2] + b"\0\0" + pieces[-2:], b"junk"), 0, 63, 1
        ),
    }


def _odd_sampling(photo: Pixels) -> dict[str, bytes]:
    """JPEGs in layouts that TurboJPEG has no name for."""
    ycc, inks = planes(photo), [255 - photo[..., number] for number in range(3)]
    adobe = struct.pack(">BBH", 0xFF, 0xEE, 14) + b"Adobe\0\x64\0\0\0\0\0"
    narrow = [(4, 2), (1, 1), (1, 1)]
    return {
        "jpeg 4:1:0": write(ycc, narrow),
        "jpeg 3x1 1x1 1x1": write(ycc, [(3, 1), (1, 1), (1, 1)]),
        "jpeg 2x2 2x1 1x1": write(ycc, [(2, 2), (2, 1), (1, 1)]),
        "jpeg 1x1 2x2 1x1": write(ycc, [(1, 1), (2, 2), (1, 1)]),
        "jpeg 4x1 2x1 2x1": write(ycc, [(4, 1), (2, 1), (2, 1)]),
        "jpeg 4:1:0 with restart markers": write(ycc, narrow, restart=3),
        "jpeg 4:1:0, a scan a component": write(ycc, narrow, scans="one a component", restart=5),
        "jpeg 4:1:0 progressive": write(ycc, narrow, scans="progressive"),
        "jpeg 4:1:0 with odd headers": with_scan_parameters(write(ycc, narrow), 0, 0, 0)[:-2] + b"\0\xff\xd9",
        "jpeg cmyk of odd sampling": write(
            [*inks, photo[..., 0]], [(2, 1), (1, 1), (1, 1), (1, 1)], headers=adobe
        ),
    }


def _good_pngs(photo: Pixels) -> dict[str, Good]:
    image = Image.fromarray(photo)
    deep = np.random.default_rng(1).integers(0, 1 << 16, (*SIDES, 4), dtype=np.uint16)
    deep[0, :4] = np.array([0, 128, 129, 65535])[:, None]
    alpha = np.concatenate([photo, photo[..., :1]], axis=2)
    grey = np.asarray(image.convert("L"))
    palette = image.quantize(64)
    palette_rgb = np.asarray(palette.convert("RGB"))
    bilevel = np.where(grey > 128, 255, 0).astype(np.uint8)
    black_below = np.concatenate([photo, np.zeros_like(photo)])
    still_moving = encode(photo, "PNG", save_all=True, append_images=[image.rotate(180)])
    return {
        "png rgb": Good(encode(photo, "PNG"), photo),
        "png alpha": Good(encode(alpha, "PNG"), photo),
        "png grey": Good(encode(grey, "PNG"), as_rgb(grey)),
        "png grey alpha": Good(encode(Image.fromarray(np.dstack([grey, grey]), "LA"), "PNG"), as_rgb(grey)),
        "png palette": Good(encode(palette, "PNG"), palette_rgb),
        "png palette transparent": Good(encode(palette, "PNG", transparency=bytes(range(64))), palette_rgb),
        "png palette one colour transparent": Good(encode(palette, "PNG", transparency=3), palette_rgb),
        "png rgb one colour transparent": Good(encode(photo, "PNG", transparency=(1, 2, 3)), photo),
        "png 1 bit": Good(encode(Image.fromarray(bilevel).convert("1"), "PNG"), as_rgb(bilevel)),
        "png grey 16": Good(png(deep[..., 0], 0, 16), divided_by_257(deep[..., 0])),
        "png grey 16 by pillow": Good(
            encode(Image.fromarray(deep[..., 0]), "PNG"), divided_by_257(deep[..., 0])
        ),
        "png rgb 16": Good(png(deep[..., :3], 2, 16), (deep[..., :3] >> 8).astype(np.uint8)),
        "png alpha 16": Good(png(deep, 6, 16), (deep[..., :3] >> 8).astype(np.uint8)),
        "png interlaced": Good(png(photo, 2, 8, passes=7), photo),
        "png with black last rows": Good(png(black_below, 2, 8), black_below),
        "png interlaced with black last rows": Good(png(black_below, 2, 8, passes=7), black_below),
        "png moving": Good(still_moving, photo),
        "png with junk behind its end": Good(encode(photo, "PNG") + b"junk" * 99, photo),
    }


def _good_tiffs(photo: Pixels) -> dict[str, Good]:
    image = Image.fromarray(photo)
    deep = np.random.default_rng(2).integers(0, 1 << 16, SIDES, dtype=np.uint16)
    big = Image.frombytes("I;16B", SIDES[::-1], deep.astype(">u2").tobytes())
    cmyk = Image.fromarray(np.concatenate([photo, 255 - photo[..., :1]], axis=2), "CMYK")
    found = {
        "tiff": Good(encode(photo, "TIFF"), photo),
        "tiff lzw": Good(encode(photo, "TIFF", compression="tiff_lzw"), photo),
        "tiff deflate": Good(encode(photo, "TIFF", compression="tiff_adobe_deflate"), photo),
        "tiff of jpeg": Good(in_tiff := encode(photo, "TIFF", compression="jpeg"), read_by_pillow(in_tiff)),
        "tiff big": Good(encode(photo, "TIFF", big_tiff=True), photo),
        "tiff of two pages": Good(
            encode(photo, "TIFF", save_all=True, append_images=[image.rotate(180)]), photo
        ),
        "tiff cmyk": Good(encode(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB"))),
        "tiff grey 16": Good(encode(Image.fromarray(deep), "TIFF"), divided_by_257(deep)),
        "tiff grey 16 big-endian": Good(encode(big, "TIFF"), divided_by_257(deep)),
    }
    for turn in range(2, 9):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = turn
        compression = "tiff_lzw" if turn % 2 else None
        found[f"tiff turned {turn}"] = Good(
            encode(photo, "TIFF", tiffinfo=tags, compression=compression), photo
        )
    return found


def _good_others(photo: Pixels) -> dict[str, Good]:
    image = Image.fromarray(photo)
    palette = image.quantize(200)
    palette_rgb = np.asarray(palette.convert("RGB"))
    alpha = Image.fromarray(np.concatenate([photo, 255 - photo[..., :1] // 2], axis=2))
    lossy = {
        "webp": encode(photo, "WEBP"),
        "webp moving": encode(photo, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        "avif": encode(photo, "AVIF", speed=10),
        "avif alpha": encode(alpha, "AVIF", speed=10),
        "avif moving": encode(photo, "AVIF", speed=10, save_all=True, append_images=[image.rotate(180)]),
    }
    return {
        **{name: Good(data, read_by_pillow(data)) for name, data in lossy.items()},
        "webp lossless": Good(encode(photo, "WEBP", lossless=True), photo),
        "webp alpha": Good(encode(alpha, "WEBP", lossless=True, exact=True), photo),
        "gif": Good(encode(palette, "GIF"), palette_rgb),
        "gif transparent": Good(encode(palette, "GIF", transparency=5), palette_rgb),
        "gif moving": Good(
            encode(palette, "GIF", save_all=True, append_images=[image.rotate(180)]), palette_rgb
        ),
        "gif larger than its screen": Good(_with_screen(encode(palette, "GIF"), 40, 40), palette_rgb),
        "gif without a screen": Good(_with_screen(encode(palette, "GIF"), 0, 0), palette_rgb),
        "bmp": Good(encode(photo, "BMP"), photo),
        "bmp palette": Good(encode(palette, "BMP"), palette_rgb),
        "bmp top down": Good(_top_down(encode(photo, "BMP")), photo[::-1]),
    }


def _with_screen(gif: bytes, width: int, height: int) -> bytes:
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:]


def _top_down(bmp: bytes) -> bytes:
    return bmp[:22] + struct.pack("<i", -SIDES[0]) + bmp[26:]


def as_rgb(grey: NDArray[Any]) -> Pixels:
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def divided_by_257(grey: NDArray[np.uint16]) -> Pixels:
    """The oracle for 16-bit grey, in float64."""
    return as_rgb(np.floor(grey.astype(np.float64) / 257 + 0.5))


@cache
def evil() -> dict[str, Evil]:
    """Data that must be refused with the default limits and a shorter side of at least 32."""
    found: dict[str, tuple[bytes, tuple[Reason, ...]]] = {
        **_evil_jpegs(),
        **_evil_others(),
        **_no_images(),
    }
    return {name: Evil(data, frozenset(reasons)) for name, (data, reasons) in found.items()}


_Found = dict[str, tuple[bytes, tuple[Reason, ...]]]
_DAMAGED_TEXT = png_chunk(b"tEXt", b"Comment\0words")[:-1] + b"!"
_BROKEN = (Reason.TRUNCATED, Reason.UNDECODABLE)


def _evil_jpegs() -> _Found:
    photo = photograph(seed=3)
    data = encode(photo, quality=90)
    progressive, optimised = encode(photo, progressive=True), encode(photo, optimize=True)
    restarts = encode(photo, restart_marker_blocks=3)
    random = np.random.default_rng(4)
    scan = find_marker(data, 0xDA) + 14
    frame = find_marker(data, 0xC0)
    middle = scan + (len(data) - scan) // 2
    third_restart = [position for position, code in jpeg_markers(restarts) if 0xD0 <= code <= 0xD7][3]
    no_size = with_size(data, 0, SIDES[1])
    narrow = write(planes(photo), [(4, 2), (1, 1), (1, 1)], restart=3)
    narrow_alone = write(planes(photo), [(4, 2), (1, 1), (1, 1)])
    undecodable, truncated = (Reason.UNDECODABLE,), (Reason.TRUNCATED,)
    return {
        "jpeg of odd scan parameters, with zeros": (
            zeroed(with_scan_parameters(data, 0, 0, 0)),
            _BROKEN,
        ),
        "jpeg with junk between segments, with zeros": (zeroed(behind_jfif(data, b"junk")), _BROKEN),
        "jpeg 4:1:0, cut": (cut_with_end(narrow_alone), truncated),
        "jpeg 4:1:0, without end": (narrow_alone[:-2], truncated),
        "jpeg cut in the middle": (data[:middle], truncated),
        "jpeg cut in the middle, with an end": (data[:middle] + b"\xff\xd9", truncated),
        "jpeg without its end marker": (data[:-2], truncated),
        "jpeg without half of its end marker": (data[:-1], truncated),
        "jpeg progressive cut in the middle": (progressive[: len(progressive) // 2], truncated),
        "jpeg progressive cut, with an end": (progressive[: len(progressive) // 2] + b"\xff\xd9", _BROKEN),
        "jpeg of one marker": (b"\xff\xd8", truncated),
        "jpeg of two markers": (b"\xff\xd8\xff\xd9", undecodable),
        "jpeg of fill bytes": (b"\xff\xd8" + b"\xff" * 4096, truncated),
        "jpeg with noise": (_with_noise(data, middle, random), _BROKEN),
        "jpeg with zeros": (data[:middle] + bytes(2000) + data[middle + 2000 :], _BROKEN),
        "jpeg without a restart marker": (
            restarts[:third_restart] + restarts[third_restart + 2 :],
            undecodable,
        ),
        "jpeg without its own Huffman tables": (_without_segments(optimised, 0xC4), _BROKEN),
        "jpeg without quantisation tables": (_without_segments(data, 0xDB), undecodable),
        "jpeg without a frame": (_without_segments(data, 0xC0), undecodable),
        "jpeg of 12 bits": (data[: frame + 4] + b"\x0c" + data[frame + 5 :], undecodable),
        "jpeg lossless by its marker": (data[: frame + 1] + b"\xc3" + data[frame + 2 :], undecodable),
        "jpeg of height 0": (no_size, undecodable),
        "jpeg twice as high": (with_size(data, SIDES[0] * 2, SIDES[1]), _BROKEN),
        "jpeg twice as wide": (with_size(data, SIDES[0], SIDES[1] * 2), _BROKEN),
        "jpeg half as high": (with_size(data, SIDES[0] // 2, SIDES[1]), undecodable),
        "jpeg 9000x9000 by its header": (with_size(data, 9000, 9000), _BROKEN),
        "jpeg 20000x20000 by its header": (with_size(data, 20000, 20000), (Reason.TOO_MANY_PIXELS,)),
        "jpeg of 500 scans": (many_scans(500), undecodable),
        "jpeg of 5000 segments": (data[:2] + b"\xff\xfe\0\2" * 5000 + data[2:], undecodable),
        "jpeg with a segment without length": (data[:2] + b"\xff\xfe\0\0" + data[2:], undecodable),
        "jpeg with junk where its Huffman tables were": (
            optimised.replace(b"\xff\xc4", b"\0\0"),
            undecodable,
        ),
        "jpeg with junk for headers": (data[:20] + bytes(4096), truncated),
        "jpeg 4:1:0 without a restart marker": (_without_restart(narrow, 2), undecodable),
        "jpeg 4:1:0 without its last restart marker": (_without_restart(narrow, -1), undecodable),
        "jpeg 4:1:0 half as high": (with_size(narrow_alone, SIDES[0] // 2, SIDES[1]), undecodable),
        "jpeg 4:1:0 twice as high": (with_size(narrow_alone, SIDES[0] * 2, SIDES[1]), _BROKEN),
        "jpeg 1x1": (encode(photo[:1, :1]), (Reason.TOO_SMALL,)),
        "jpeg of 30 MB": (data + bytes(30_000_000), (Reason.TOO_MANY_BYTES,)),
    }


def zeroed(data: bytes, size: int = 2000) -> bytes:
    """A JPEG with zeros in the middle of the data behind its first scan header."""
    middle = (find_marker(data, 0xDA) + len(data)) // 2
    return data[:middle] + bytes(size) + data[middle + size :]


def cut_with_end(data: bytes) -> bytes:
    """A JPEG cut in the middle of its last scan, and ended."""
    scan = [at for at, code in jpeg_markers(data) if code == 0xDA][-1]
    return data[: (scan + len(data)) // 2] + b"\xff\xd9"


def _without_restart(data: bytes, number: int) -> bytes:
    at = [at for at, code in jpeg_markers(data) if 0xD0 <= code <= 0xD7][number]
    return data[:at] + data[at + 2 :]


def _with_noise(data: bytes, at: int, random: np.random.Generator) -> bytes:
    return data[:at] + random.bytes(2000) + data[at + 2000 :]


def _without_segments(data: bytes, code: int) -> bytes:
    """A JPEG without its segments of one kind."""
    for at, found in reversed(list(jpeg_markers(data))):
        if found == code:
            data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data


def _evil_others() -> _Found:
    photo = photograph(seed=5)
    whole = encode(photo, "PNG")
    image_data = whole.index(b"IDAT")
    middle = len(whole) // 2
    bomb = png(np.zeros((1, 1, 3), np.uint8), 2, 8, size=(60000, 60000))
    webp, tiff, bmp, avif = (encode(photo, name) for name in ("WEBP", "TIFF", "BMP", "AVIF"))
    in_tiff = encode(photo, "TIFF", compression="jpeg")
    squeezed = encode(photo, "TIFF", compression="tiff_lzw")
    gif = encode(Image.fromarray(photo).quantize(64), "GIF")
    floats = encode(Image.fromarray(photo[..., 0].astype(np.float32)), "TIFF")
    undecodable, truncated = (Reason.UNDECODABLE,), (Reason.TRUNCATED,)
    return {
        "png of 60000x60000 by its header": (bomb, (Reason.TOO_MANY_PIXELS,)),
        "png with fewer rows than stated": (png(photo[:50], 2, 8, size=SIDES), truncated),
        "png with a damaged text chunk": (png(photo, 2, 8, chunks=_DAMAGED_TEXT), undecodable),
        "png interlaced with fewer rows than stated": (png(photo, 2, 8, passes=6), truncated),
        "png cut in its header": (whole[:20], truncated),
        "png cut in the middle": (whole[:middle], truncated),
        "png without its end": (whole[:-12], truncated),
        "png with a flipped bit": (_flipped(whole, middle), undecodable),
        "png with a flipped bit and a right checksum": (_reworked(whole, image_data, middle), _BROKEN),
        "png 1x1": (encode(photo[:1, :1], "PNG"), (Reason.TOO_SMALL,)),
        "png of width 0": (png(photo, 2, 8, size=(SIDES[0], 0)), undecodable),
        "png signature": (whole[:8], truncated),
        "png half of its signature": (whole[:4], truncated),
        "webp cut in the middle": (webp[: len(webp) // 2], truncated),
        "webp of an unknown chunk": (webp[:12] + b"VP9 " + webp[16:], undecodable),
        "gif cut in the middle": (gif[: len(gif) // 2], truncated),
        "bmp cut in the middle": (bmp[: len(bmp) // 2], truncated),
        "tiff cut in the middle": (tiff[: len(tiff) // 2], truncated),
        "tiff squeezed with zeros": (squeezed[:200] + bytes(2000) + squeezed[2200:], undecodable),
        "tiff of jpeg with zeros": (in_tiff[:2000] + bytes(500) + in_tiff[2500:], _BROKEN),
        "tiff of jpeg with fewer rows than stated": (_with_tag(in_tiff, 257, 2 * SIDES[0]), truncated),
        "tiff of a fax": (
            encode(Image.fromarray(photo).convert("1"), "TIFF", compression="group4"),
            (Reason.UNSUPPORTED_FORMAT,),
        ),
        "tiff with a tile of 65520x65520": (
            _tiff_of_tags({256: 99, 257: 99, 322: 65520, 323: 65520}),
            undecodable,
        ),
        "tiff of floats": (floats, undecodable),
        "avif cut in the middle": (avif[: len(avif) // 2], truncated),
    }


def _tiff_of_tags(tags: dict[int, int]) -> bytes:
    """The header and directory of a TIFF, and nothing else."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def _with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another value for one tag of its directory."""
    directory = int.from_bytes(tiff[4:8], "little")
    at = tiff.index(struct.pack("<H", tag), directory + 2)
    return tiff[:at] + struct.pack("<HHII", tag, 4, 1, value) + tiff[at + 12 :]


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def _reworked(png: bytes, image_data: int, at: int) -> bytes:
    """A PNG with a damaged byte in its first image data, whose chunk's checksum was made to fit."""
    length = int.from_bytes(png[image_data - 4 : image_data], "big")
    end = image_data + 4 + length
    damaged = _flipped(png, min(at, end - 8))
    checksum = zlib.crc32(damaged[image_data:end])
    return damaged[:end] + struct.pack(">I", checksum) + damaged[end + 4 :]


def _no_images() -> _Found:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.jpg", encode(photograph()))
    unsupported = (Reason.UNSUPPORTED_FORMAT,)
    return {
        "nothing": (b"", (Reason.EMPTY,)),
        "one byte": (b"x", unsupported),
        "text": (b"This is no image, only a sentence.\n" * 20, unsupported),
        "text in Greek": ("Αυτό δεν είναι εικόνα. ".encode() * 40, unsupported),
        "html": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", unsupported),
        "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', unsupported),
        "json": (b'{"error": "not found"}', unsupported),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", unsupported),
        "zip": (archive.getvalue(), unsupported),
        "mp4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200), unsupported),
        "text that begins like a BMP": (b"BMW and others " * 10, unsupported),
        "zeros": (bytes(4096), unsupported),
        "noise": (b"\x93" + np.random.default_rng(6).bytes(4096), unsupported),
    }
