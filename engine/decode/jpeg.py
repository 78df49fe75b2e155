"""JPEG by libjpeg-turbo, strictly: what it warns about is refused.

libjpeg decodes nearly anything to something. In strict mode its first warning ends the decoding, and the
sentence of a refusal repeats its words.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from assay.engine.admission import Header
from assay.engine.outcome import Reason, Refused

MOST_EXTRANEOUS = 0.25
"""Share of a JPEG's coded data that may lie unused before its end marker."""

STRIP = 1 << 18
"""Pixels that are converted to RGB at once."""

_CMYK = 4
_END = re.compile(rb"\xff\xd9")
_ENDS_EARLY = re.compile("premature end", re.IGNORECASE)
_BEFORE_THE_END = re.compile("([0-9]+) extraneous bytes before marker 0xd9$")
_NO_SUBSAMPLING = "Could not determine subsampling level"


def decode(
    data: bytes | memoryview, header: Header, buffer: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB, in `buffer` (at least `header.decoded_bytes` long) where one is given.

    Raises:
        Refused: `truncated`, `undecodable`.
    """
    if header.components == _CMYK:
        return _from_cmyk(_strictly(data, header, "CMYK", None), header)
    return _strictly(data, header, "RGB", buffer)


def check(data: bytes | memoryview, header: Header) -> None:
    """Refuse a grey or colour JPEG that `decode` would refuse, for less: 1/64 of the luma pixels are made,
    but all entropy-coded data are read.

    Raises:
        Refused: `truncated`, `undecodable`.
    """
    _strictly(data, header, "GRAY", None, factor=8)


def _strictly(
    data: bytes | memoryview,
    header: Header,
    colorspace: str,
    buffer: NDArray[np.uint8] | None,
    factor: int = 1,
) -> NDArray[np.uint8]:
    fault = ""
    for strict in (True, False):
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                data,
                colorspace,
                min_height=1 if factor > 1 else 0,
                min_width=1 if factor > 1 else 0,
                min_factor=factor,
                buffer=buffer,
                strict=strict,
            )
        except ValueError as error:
            fault = str(error)
            if not _harmless(fault, len(data) - header.scan):
                break
        else:
            expected = (-(-header.height // factor), -(-header.width // factor))
            if pixels.shape[:2] == expected:
                return pixels
            height, width = pixels.shape[:2]
            fault = f"decoded to {width}x{height} pixels instead of {header.width}x{header.height}"
            break
    ends_early = _ENDS_EARLY.search(fault) is not None or _END.search(data, header.scan) is None
    raise _refusal(fault, header, len(data), ends_early)


def _harmless(fault: str, size: int) -> bool:
    """Whether libjpeg only found bytes left when the image was complete, few beside the `size` of its scans.

    Where they are many, it is the header that states too small an image.
    """
    left = _BEFORE_THE_END.search(fault)
    return left is not None and int(left[1]) < size * MOST_EXTRANEOUS


def _refusal(fault: str, header: Header, size: int, ends_early: bool) -> Refused:
    about = {"format": header.format, "width": header.width, "height": header.height, "bytes": size}
    if ends_early:
        return Refused(
            Reason.TRUNCATED, f"The JPEG's data end before its image is complete (libjpeg: {fault}).", **about
        )
    if _NO_SUBSAMPLING in fault:
        fault += "; its headers are damaged, or its sampling factors are unusual"
    return Refused(
        Reason.UNDECODABLE, f"The JPEG cannot be decoded without errors (libjpeg: {fault}).", **about
    )


def _from_cmyk(inks: NDArray[np.uint8], header: Header) -> NDArray[np.uint8]:
    """RGB as Pillow makes it: CMYK JPEGs hold inverted inks, as Adobe's programs write them."""
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    rows = max(1, STRIP // header.width)
    for top in range(0, header.height, rows):
        strip = inks[top : top + rows]
        image = Image.frombuffer("CMYK", strip.shape[1::-1], strip, "raw", "CMYK;I", 0, 1)
        pixels[top : top + rows] = np.asarray(image.convert("RGB"))
    return pixels
