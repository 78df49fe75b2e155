"""PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC by Pillow.

The file is opened by the plugin of the format that admission found, never by another, and none of Pillow's
process-wide settings is changed: the limit on pixels is admission's, and truncated files raise.
"""

import io
import re
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from assay.engine.admission import Header
from assay.engine.decode.jpeg import STRIP
from assay.engine.decode.png import check_chunks, check_rows
from assay.engine.decode.tiff import check_jpeg_parts
from assay.engine.outcome import Reason, Refused

_ENDS_EARLY = re.compile("truncat|unexpected end|end of file|not enough|no more images", re.IGNORECASE)
_BITS_PER_SAMPLE = 258  # the tag of TIFF


class _StoredTiff(TiffImagePlugin.TiffImageFile):
    """A TIFF at its stored orientation: Pillow's own turns the pixels when it has loaded them."""

    def load_end(self) -> None:
        self._size = self.im.size


def _heif(file: io.BytesIO) -> Image.Image:
    import pillow_heif

    return pillow_heif.HeifImageFile(file)  # type: ignore[no-any-return]


_OPEN: dict[str, Callable[[Any], Image.Image]] = {
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": _StoredTiff,
    "avif": AvifImagePlugin.AvifImageFile,
    "heic": _heif,
}


def decode(data: bytes | memoryview, header: Header) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of the first frame.

    Raises:
        Refused: `truncated`, `undecodable`, `too_many_pixels` (beyond what Pillow opens at all).
    """
    # Warnings are about metadata and oddities; a program that turns them into errors must not lose images.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if header.format == "png":
                check_chunks(data)
            elif header.format == "tiff":
                check_jpeg_parts(data, header)
            with _OPEN[header.format](io.BytesIO(data)) as image:
                _load(image, header)
                if header.format == "png":
                    check_rows(data, image)
                return _pixels(image, header)
        except Refused:
            raise
        except Image.DecompressionBombError as error:
            raise _refused(Reason.TOO_MANY_PIXELS, error, header, len(data)) from None
        except Exception as error:  # broken files make Pillow raise nearly anything
            early = isinstance(error, struct.error) or _ENDS_EARLY.search(str(error))
            raise _refused(
                Reason.TRUNCATED if early else Reason.UNDECODABLE, error, header, len(data)
            ) from None


def _load(image: Image.Image, header: Header) -> None:
    """Load the pixels of a file whose frame has the header's size, before and after."""
    # a TIFF that is to be turned says its turned size until it is loaded
    stated = {image.size, image.size[::-1]} if header.format == "tiff" else {image.size}
    if (header.width, header.height) in stated:
        image.load()
        stated = {image.size}
    if (header.width, header.height) not in stated:
        raise Refused(
            Reason.UNDECODABLE,
            f"The {header.name} header states {header.width}x{header.height} pixels, "
            f"its image {image.size[0]}x{image.size[1]}.",
            format=header.format,
            width=header.width,
            height=header.height,
        )


def _pixels(image: Image.Image, header: Header) -> NDArray[np.uint8]:
    if image.mode in ("I", "F"):
        raise Refused(
            Reason.UNDECODABLE,
            f"The {header.name} holds 32-bit samples, which do not say what is white.",
            format=header.format,
            mode=image.mode,
        )
    image.info.pop("transparency", None)  # alpha is dropped: Pillow need not find it a palette entry
    white = _white(image) if image.mode.startswith("I;16") else None
    # strip by strip: Pillow's own conversion would hold the whole image three times
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    rows = max(1, STRIP // header.width)
    for top in range(0, header.height, rows):
        strip = image.crop((0, top, header.width, min(top + rows, header.height)))
        if white is None:
            pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
        else:
            grey = np.asarray(strip).astype(np.uint32)
            pixels[top : top + rows] = ((grey * 255 + white // 2) // white)[:, :, None]
    return pixels


def _white(image: Image.Image) -> int:
    """The largest sample of 16-bit grey: 65535, so that it is divided by 257; some TIFFs have 12 bits."""
    bits = 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]
    return (1 << bits) - 1


def _refused(reason: Reason, error: Exception, header: Header, size: int) -> Refused:
    words = str(error) or type(error).__name__
    return Refused(
        reason,
        f"The {header.name} cannot be decoded without errors ({words}).",
        format=header.format,
        width=header.width,
        height=header.height,
        bytes=size,
    )
