"""TIFF and BigTIFF: the first image, or a sentence that says which part of it is not read.

Pillow reads some layouts with wrong colours (16 bits with white as zero, signed samples), so that only the
unpacking of bytes is left to libraries; what the samples mean is decided here. JPEG data are read strictly.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import Header
from assay.engine.decode.jpeg import STRIP
from assay.engine.decode.tiff import embedded
from assay.engine.decode.tiff import layout as tags
from assay.engine.decode.tiff.colours import rgb
from assay.engine.decode.tiff.layout import Layout
from assay.engine.decode.tiff.parts import unpacked
from assay.engine.outcome import Reason, Refused


def decode(data: bytes | memoryview, header: Header) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of the first image.

    Raises:
        Refused: `truncated`, `undecodable`; `unsupported_format`: a layout that is not read;
            `too_many_pixels`: strips or tiles that are larger than what was reserved.
    """
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    try:
        layout = tags.read(data, header)
        if layout.compression == tags.JPEG:
            embedded.decode(data, layout, pixels)
        else:
            _decode(data, layout, header, pixels)
    except Refused:
        raise
    except Exception as error:  # libraries raise nearly anything for broken data
        early = isinstance(error, (struct.error, IndexError))
        fault = "it ends within its tags or headers" if early else error or type(error).__name__
        raise Refused(
            Reason.TRUNCATED if early else Reason.UNDECODABLE,
            f"The TIFF cannot be decoded without errors ({fault}).",
            format="tiff",
            width=header.width,
            height=header.height,
            bytes=len(data),
        ) from None
    return pixels


def _decode(data: bytes | memoryview, layout: Layout, header: Header, pixels: NDArray[np.uint8]) -> None:
    at_once = max(1, STRIP // layout.part_width)
    for place, planes in unpacked(data, layout, header):
        row, column = divmod(place, layout.across)
        top, left = row * layout.part_height, column * layout.part_width
        rows = layout.rows(place)
        for start in range(0, rows, at_once):
            end = min(start + at_once, rows)
            band = rgb([plane.read(end - start) for plane in planes], layout)
            target = pixels[top + start : top + end, left : left + layout.part_width]
            target[:] = band[: target.shape[0], : target.shape[1]]
