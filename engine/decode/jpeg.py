"""JPEG by libjpeg-turbo, strictly: what it warns about is refused, unless decoders agree to ignore it.

libjpeg decodes nearly anything to something. In strict mode its first warning ends the decoding, and the
sentence of a refusal repeats its words. A warning about headers, whose values no decoder uses, would hide
damage behind it: the file is then decoded once more, as strictly, with plain headers in front of its data.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from assay.engine.admission import Header
from assay.engine.decode import markers, sampling
from assay.engine.outcome import Reason, Refused

MOST_EXTRANEOUS = 0.25
"""Share of a JPEG's coded data that may lie unused before its end marker."""

STRIP = sampling.STRIP

_CMYK = 4
_END = re.compile(rb"\xff\xd9")
_ENDS_EARLY = re.compile("premature end", re.IGNORECASE)
_BEFORE_THE_END = re.compile("([0-9]+) extraneous bytes before marker 0xd9$")
_ABOUT_HEADERS = re.compile(
    "Invalid SOS parameters|unknown JFIF revision|Unknown Adobe color transform|bad ICC marker"
    "|extraneous bytes before marker 0x(?!d[0-79])"
)
_NO_SUBSAMPLING = "Could not determine subsampling level"


def decode(
    data: bytes | memoryview, header: Header, buffer: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB, in `buffer` (at least `header.decoded_bytes` long) where one is given.

    Raises:
        Refused: `truncated`, `undecodable`.
    """
    cmyk = header.components == _CMYK
    found = _attempt(data, data, header, "CMYK" if cmyk else "RGB", None if cmyk else buffer)
    if isinstance(found, str) and _wants_plain_headers(found):
        pieces = markers.plain(data)
        if pieces is not None:
            found = _of_pieces(pieces, data, header, found, buffer)
    if isinstance(found, str):
        raise _refusal(found, header, data)
    return _from_cmyk(found, header) if found.shape[2] == _CMYK else found


def check(data: bytes | memoryview, header: Header) -> bool:
    """Refuse a grey or colour JPEG that `decode` would refuse, for less: 1/64 of the luma pixels are made,
    but all entropy-coded data are read.

    True: its headers are so unusual that nothing was refused yet, and only `decode` reads it reliably.

    Raises:
        Refused: `truncated`, `undecodable`.
    """
    found = _attempt(data, data, header, "GRAY", None, factor=8)
    if isinstance(found, str) and not _wants_plain_headers(found):
        raise _refusal(found, header, data)
    return isinstance(found, str)


def _wants_plain_headers(fault: str) -> bool:
    return _NO_SUBSAMPLING in fault or _ABOUT_HEADERS.search(fault) is not None


def _of_pieces(
    pieces: list[markers.Piece],
    data: bytes | memoryview,
    header: Header,
    fault: str,
    buffer: NDArray[np.uint8] | None,
) -> NDArray[np.uint8] | str:
    """What `_attempt` returns, of a JPEG's pieces with plain headers."""
    cmyk = header.components == _CMYK
    found: NDArray[np.uint8] | str = fault
    if _NO_SUBSAMPLING not in fault:
        found = _attempt(
            markers.joined(pieces), data, header, "CMYK" if cmyk else "RGB", None if cmyk else buffer
        )
    if isinstance(found, str) and _NO_SUBSAMPLING in found:
        try:
            return sampling.decode(pieces, header, MOST_EXTRANEOUS, buffer)
        except sampling.DamagedError as error:
            return str(error)
    return found


def _attempt(
    data: bytes | memoryview,
    original: bytes | memoryview,
    header: Header,
    colorspace: str,
    buffer: NDArray[np.uint8] | None,
    factor: int = 1,
) -> NDArray[np.uint8] | str:
    """The pixels that libjpeg makes of `data` without a warning, or its words.

    `header` is that of the `original` file, of which `data` may have plainer headers.
    """
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
            if not _harmless(fault, len(original) - header.scan):
                break
        else:
            expected = (-(-header.height // factor), -(-header.width // factor))
            if pixels.shape[:2] == expected:
                return pixels
            height, width = pixels.shape[:2]
            fault = f"decoded to {width}x{height} pixels instead of {header.width}x{header.height}"
            break
    return fault


def _harmless(fault: str, size: int) -> bool:
    """Whether libjpeg only found bytes left when the image was complete, few beside the `size` of its scans.

    Where they are many, it is the header that states too small an image.
    """
    left = _BEFORE_THE_END.search(fault)
    return left is not None and int(left[1]) < size * MOST_EXTRANEOUS


def _refusal(fault: str, header: Header, data: bytes | memoryview) -> Refused:
    about = {"format": header.format, "width": header.width, "height": header.height, "bytes": len(data)}
    if _ENDS_EARLY.search(fault) is not None or _END.search(data, header.scan) is None:
        return Refused(
            Reason.TRUNCATED, f"The JPEG's data end before its image is complete (libjpeg: {fault}).", **about
        )
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
