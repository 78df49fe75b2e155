"""PNG, WebP, GIF, AVIF and HEIC by Pillow.

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
    GifImagePlugin,
    Image,
    PngImagePlugin,
    WebPImagePlugin,
)

from assay.engine.admission import Header
from assay.engine.decode import gif, png
from assay.engine.decode.jpeg import STRIP
from assay.engine.outcome import Reason, Refused

_ENDS_EARLY = re.compile("truncat|unexpected end|end of file|not enough|no more images", re.IGNORECASE)


def _heif(file: io.BytesIO) -> Image.Image:
    import pillow_heif

    return pillow_heif.HeifImageFile(file)  # type: ignore[no-any-return]


_OPEN: dict[str, Callable[[Any], Image.Image]] = {
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "heic": _heif,
}


_ALONE: dict[str, Callable[[bytes | memoryview], io.BytesIO]] = {
    "png": png.image_alone,
    "gif": gif.image_alone,
}
"""Formats whose metadata Pillow would unpack or gather: it is given the image without them."""


def decode(data: bytes | memoryview, header: Header) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of the first frame.

    Raises:
        Refused: `truncated`, `undecodable`, `too_many_pixels` (beyond what Pillow opens at all).
    """
    # Warnings are about metadata and oddities; a program that turns them into errors must not lose images.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = _ALONE.get(header.format, io.BytesIO)(data)
            with _OPEN[header.format](file) as image:
                _load(image, header)
                if header.format == "png":
                    png.check_rows(file.getbuffer(), image)
                return _pixels(image, header)
        except Refused:
            raise
        except Image.DecompressionBombError as error:
            raise _refused(Reason.TOO_MANY_PIXELS, error, header, len(data)) from None
        except Exception as error:  # broken files make Pillow raise nearly anything
            early = isinstance(error, (struct.error, IndexError)) or _ENDS_EARLY.search(str(error))
            raise _refused(
                Reason.TRUNCATED if early else Reason.UNDECODABLE, error, header, len(data)
            ) from None


def _load(image: Image.Image, header: Header) -> None:
    """Load the pixels of a file whose frame has the header's size, before and after."""
    if image.size == (header.width, header.height):
        image.load()
    if image.size != (header.width, header.height):
        raise Refused(
            Reason.UNDECODABLE,
            f"The {header.name} header states {header.width}x{header.height} pixels, "
            f"its image {image.size[0]}x{image.size[1]}.",
            format=header.format,
            width=header.width,
            height=header.height,
        )


def _pixels(image: Image.Image, header: Header) -> NDArray[np.uint8]:
    image.info.pop("transparency", None)  # alpha is dropped: Pillow need not find it a palette entry
    # strip by strip: Pillow's own conversion would hold the whole image three times
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    rows = max(1, STRIP // header.width)
    for top in range(0, header.height, rows):
        strip = image.crop((0, top, header.width, min(top + rows, header.height)))
        if image.mode.startswith("I;16"):  # Pillow's own conversion clips
            grey = np.asarray(strip).astype(np.uint32)
            pixels[top : top + rows] = ((grey + 128) // 257)[:, :, None]
        else:
            pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
    return pixels


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
