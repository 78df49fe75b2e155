"""Peak memory of decoding, by kind of file, against what admission reserves for it.

    python -m assay.bench.memory [KIND...]

Each file is made here and decoded in a process of its own, which has decoded a small one of its format
before. The peak is the kernel's mark of resident memory (VmHWM) less what was resident before, encoded bytes
included.
"""

import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from assay.bench.provenance import provenance
from assay.engine.admission import Header, admit
from assay.engine.decode import make_decoder
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

MIB = 1 << 20
SIDES = (3000, 4000)
_LIMITS = Limits(max_bytes=1 << 30)


def picture(mode: str, height: int = SIDES[0], width: int = SIDES[1]) -> Image.Image:
    """Smooth light, which compresses well: what is measured are pixels, not codes."""
    light = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return Image.fromarray(light).resize((width, height)).convert(mode)


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """`picture` as Pillow writes it."""
    file = io.BytesIO()
    picture(mode).save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(colour: int, depth: int, channels: int, more: bytes = b"", sides: tuple[int, int] = SIDES) -> bytes:
    """A PNG whose rows are all alike, with more chunks behind its header."""
    height, width = sides
    row = b"\0" + np.random.default_rng(0).bytes(-(-width * channels * depth // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(row * height, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + pixels


def tiff(
    bits: int,
    samples: int,
    side: int = 3000,
    rows: int = 1,
    tile: int = 0,
    compression: int = 1,
    tags: tuple[tuple[int, int, int], ...] = (),
) -> bytes:
    """A square TIFF, all parts of which are the same bytes; `tags` are more of them, with type and count."""
    part_rows, part_width = (tile, tile) if tile else (rows, side)
    part = np.random.default_rng(0).bytes(part_rows * part_width * samples * bits // 8)
    part = zlib.compress(part) if compression == 8 else part
    count = -(-side // part_rows) * -(-side // part_width)
    more = max((length * {1: 1, 3: 2, 4: 4, 5: 8}[kind] for _, kind, length in tags), default=0)
    sizes_at = 8 + len(part) + 4 * count
    lists = struct.pack("<I", 8) * count + struct.pack("<I", len(part)) * count + b"\1\0" * (more // 2)
    bits_at = 8 + len(part) + len(lists)
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, samples, bits_at if samples > 2 else bits),
        (259, 3, 1, compression),
        (262, 3, 1, 2 if samples > 2 else 1),
        (324 if tile else 273, 4, count, 8 + len(part) if count > 1 else 8),
        (277, 3, 1, samples),
        (325 if tile else 279, 4, count, sizes_at if count > 1 else len(part)),
        *([(322, 4, 1, tile), (323, 4, 1, tile)] if tile else [(278, 4, 1, rows)]),
        *((tag, kind, length, sizes_at + 4 * count) for tag, kind, length in tags),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    lists += struct.pack("<H", bits) * samples
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(part) + len(lists))
        + part
        + lists
        + struct.pack("<H", len(entries))
        + directory
        + bytes(4)
    )


def segments(data: bytes, count: int, size: int, code: int = 0xFE) -> bytes:
    """A JPEG with more segments behind its first marker."""
    return data[:2] + (struct.pack(">BBH", 0xFF, code, size + 2) + bytes(size)) * count + data[2:]


def commented_gif(size: int) -> bytes:
    data = saved("GIF", "P")
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * (size // 256) + b"\0"
    return data[:at] + comment + data[at:]


def webp_with_chunks(count: int) -> bytes:
    data = saved("WEBP", "RGBA", method=0) + b"JUNK\0\0\0\0" * count
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def claiming(data: bytes, width: int, height: int) -> bytes:
    """An AVIF that states another size (`ispe`) than its coded data have."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": partial(saved, "JPEG"),
    "jpeg progressive 4:4:4": partial(saved, "JPEG", progressive=True, subsampling=0),
    "jpeg progressive 4:2:0": partial(saved, "JPEG", progressive=True),
    "jpeg cmyk": partial(saved, "JPEG", "CMYK"),
    "jpeg, 15 MB of colour profile": lambda: segments(saved("JPEG"), 230, 65000, 0xE2),
    "jpeg, 1,000 comments of 15 kB": lambda: segments(saved("JPEG"), 1000, 15000),
    "png": partial(saved, "PNG", compress_level=1),
    "png alpha": partial(saved, "PNG", "RGBA", compress_level=1),
    "png palette": partial(saved, "PNG", "P"),
    "png 16-bit grey": partial(png, 0, 16, 1),
    "png 16-bit alpha": partial(png, 6, 16, 4),
    "png, 70 texts that unpack to 10 MB": lambda: png(
        2, 8, 3, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10_000_000))) * 70
    ),
    "png, 1,000,000 chunks": lambda: png(2, 8, 3, chunk(b"tEXt", b"k\0v") * 1_000_000),
    "webp": partial(saved, "WEBP", "RGBA", method=0),
    "webp lossless": partial(saved, "WEBP", lossless=True, method=0, quality=0),
    "webp, 8,000 chunks": partial(webp_with_chunks, 8000),
    "webp, 1,000,000 chunks": partial(webp_with_chunks, 1_000_000),
    "gif": partial(saved, "GIF", "P"),
    "gif, a comment of 5 MB": partial(commented_gif, 5_000_000),
    "gif, a comment of 15 MB": partial(commented_gif, 15_000_000),
    "bmp": partial(saved, "BMP"),
    "bmp grey": partial(saved, "BMP", "L"),
    "tiff lzw": partial(saved, "TIFF", compression="tiff_lzw"),
    "tiff lzw, one strip": partial(saved, "TIFF", compression="tiff_lzw", strip_size=1 << 30),
    "tiff of jpeg": partial(saved, "TIFF", compression="jpeg"),
    "tiff cmyk": partial(saved, "TIFF", "CMYK"),
    "tiff 16-bit, 4 samples, one strip": partial(tiff, 16, 4, 3000, rows=3000),
    "tiff 16-bit, one deflated strip": partial(tiff, 16, 3, 3000, rows=3000, compression=8),
    "tiff, tiles of 16x16": partial(tiff, 8, 3, 3000, tile=16),
    "tiff, 120,000 tiles": partial(tiff, 8, 1, 5536, tile=16),
    "tiff, 3,000 deflated strips that are one": partial(tiff, 8, 3, 3000, compression=8),
    "tiff, tiles of 2x2": partial(tiff, 8, 3, 3000, tile=2),
    "tiff, 4,000,000 bits a sample": partial(tiff, 8, 1, 3000, tags=((339, 3, 4_000_000),)),
    "tiff, 15 MB of profile": partial(tiff, 8, 1, 3000, tags=((34675, 1, 15_000_000),)),
    "avif 4:2:0": partial(saved, "AVIF", speed=10),
    "avif 4:4:4 alpha": partial(saved, "AVIF", "RGBA", speed=10, subsampling="4:4:4"),
    "avif claiming 128x128": lambda: claiming(saved("AVIF", speed=10), 128, 128),
    "avif with 10 MB of XMP": partial(saved, "AVIF", speed=10, xmp=bytes(10_000_000)),
}


def peak(kind: str) -> tuple[int, Header | str, int]:
    """Size of the file, its header or the word it is refused for, and the peak bytes of decoding it."""
    data = KINDS[kind]()
    try:
        header: Header | str = admit(data, _LIMITS, 1)
    except Refused as refused:
        return len(data), refused.reason.value, 0
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-P", "-m", "assay.bench.memory", "--decode", file.name]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    taken, word = answer.stdout.split()
    return len(data), header if word == "decoded" else word, int(taken)


def decode(path: Path) -> None:
    """Print the peak bytes of decoding a file, and `decoded` or the word it is refused for."""
    decoder = make_decoder("turbo")
    small = io.BytesIO()
    header = admit(path.read_bytes(), _LIMITS, 1)
    picture("RGB", 64, 64).save(small, header.format)
    decoder.decode([(small.getvalue(), admit(small.getvalue(), _LIMITS, 1))])
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark so far
    before = _status("VmRSS")
    data = path.read_bytes()
    [result] = decoder.decode([(memoryview(data), header)])
    word = result.reason.value if isinstance(result, Refused) else "decoded"
    print(max(0, _status("VmHWM") - before), word)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main(
    kinds: Annotated[list[str] | None, typer.Argument(help="Kinds of files; by default all.")] = None,
    decoding: Annotated[Path | None, typer.Option("--decode", hidden=True)] = None,
) -> None:
    """Print the table."""
    if decoding:
        decode(decoding)
        return
    print(provenance("pillow", "simplejpeg", "numpy"))
    print("\n| file | MB | reserved MiB | peak MiB | share |\n|---|---|---|---|---|")
    for kind in kinds or KINDS:
        size, header, taken = peak(kind)
        start = f"| {kind} | {size / 1e6:.1f} |"
        if isinstance(header, str):
            print(f"{start} - | {f'{taken / MIB:.0f}' if taken else '-'} | `{header}` |", flush=True)
            continue
        need = size + header.peak_bytes
        print(f"{start} {need / MIB:.0f} | {taken / MIB:.0f} | {taken / need:.0%} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
