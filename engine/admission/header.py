"""An encoded image's format and size, read from its first bytes.

The parsers are Python and touch only headers, so a hostile file cannot bring down the process that reads
them, and they answer in bounded time whatever the file holds.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec

from assay.engine.admission import gif, heif, jpeg, rasters, tiff_layout, webp
from assay.engine.admission import isobmff as boxes
from assay.engine.admission.magic import resemblance
from assay.engine.outcome import Reason, Refused

FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "heic": "HEIC",
}
"""Accepted formats and what people call them; HEIC only where the package pillow-heif is installed."""

# Bytes a pixel at the highest point of decoding, measured on 12 megapixels, rounded up. Pillow keeps colour
# in 4 bytes and its WebP decoder three canvases more; the result's 3 are in it. Of AVIF and HEIC what their
# own decoders hold comes on top, by frame. HEIC is not measured.
_PEAK = {"png": 9, "webp": 18, "gif": 6, "bmp": 9, "tiff": 6, "avif": 10, "heic": 18}

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", *_TIFF)

_READERS: dict[str, Callable[[bytes | memoryview], tuple[int, int, int]]] = {
    "png": rasters.png,
    "webp": webp.read,
    "gif": gif.read,
    "bmp": rasters.bmp,
    "tiff": tiff_layout.read,
    "avif": partial(heif.read, transformed=False),
    "heic": partial(heif.read, transformed=True),
}


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded image says of itself; `width` and `height` are those stored, before any orientation."""

    format: str
    width: int
    height: int
    components: int = 0
    """Of a JPEG: 1 grey, 3 colour, 4 CMYK. 0 for other formats."""
    scan: int = 0
    """Of a JPEG: the byte at which its first scan starts, behind all headers. 0 for other formats."""
    multiscan: bool = False
    """Of a JPEG: several scans make the image (progressive), so decoding holds all its coefficients."""
    held: int = field(default=0, compare=False)
    """Bytes that decoding holds beside what it takes for each pixel: copies, tables, coded frames."""
    quality: int = field(default=0, compare=False)
    """Of a JPEG: libjpeg's quality, 1 to 100, by the quantisation table of luma; 0 where there is none."""

    @property
    def name(self) -> str:
        return FORMATS[self.format]

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded image: uint8 RGB."""
        return self.pixels * 3

    @property
    def peak_bytes(self) -> int:
        """Most memory that decoding takes at once, the decoded image included, encoded bytes not."""
        if self.format == "jpeg":
            inks = 4 if self.components == 4 else 0
            return self.pixels * (3 + inks) + self.held
        return self.pixels * _PEAK[self.format] + self.held


def read_header(data: bytes | memoryview, max_scans: int) -> Header:
    """Format and size of an encoded image of at least one byte.

    Raises:
        Refused: `unsupported_format`, `truncated` or `undecodable`.
    """
    head = bytes(data[:512])
    format = _sniff(head)
    if format is None:
        raise _unsupported(head)
    if format == "heic" and not heif_installed():
        raise Refused(
            Reason.UNSUPPORTED_FORMAT,
            "This is a HEIC image; reading it needs the package pillow-heif (pip install pillow-heif).",
            looks_like="a HEIC image",
        )
    try:
        if format == "jpeg":
            return Header(format, *jpeg.read(data, max_scans))
        width, height, held = _READERS[format](data)
        return Header(format, width, height, held=held)
    except (struct.error, IndexError):
        # every parser walks forward: reading past the last byte means that the file ends too early
        raise Refused(
            Reason.TRUNCATED,
            f"The {FORMATS[format]} file ends after {len(data)} bytes, within its headers.",
            format=format,
            bytes=len(data),
        ) from None


def _sniff(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(_TIFF):
        return "tiff"
    if rasters.is_bmp(head):
        return "bmp"
    if head[4:8] == b"ftyp":
        return boxes.sniff(head)
    return None


def _unsupported(head: bytes) -> Refused:
    if any(len(head) > 1 and magic.startswith(head) for magic in _MAGIC):
        return Refused(
            Reason.TRUNCATED,
            f"The file ends after {len(head)} bytes, within its first marker.",
            bytes=len(head),
        )
    looks = resemblance(head)
    return Refused(
        Reason.UNSUPPORTED_FORMAT,
        f"This looks like {looks}; accepted are {', '.join(FORMATS[name] for name in accepted())}.",
        looks_like=looks,
    )


def accepted() -> list[str]:
    """The formats that this installation decodes."""
    return [name for name in FORMATS if name != "heic" or heif_installed()]


@cache
def heif_installed() -> bool:
    """Whether HEIC can be decoded here."""
    return find_spec("pillow_heif") is not None
