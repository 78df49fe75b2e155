"""Whether the JPEG data within a TIFF are whole.

libtiff reports damage of most compressions. JPEG data it decodes leniently, so they are decoded here strictly
before; of fax data (and of the JPEG of TIFF 5) it hides damage too, and those are refused.
"""

from assay.engine.admission import Header
from assay.engine.admission import jpeg as headers
from assay.engine.admission.tiff import (
    COMPRESSION,
    JPEG_TABLES,
    STRIP_OFFSETS,
    STRIP_SIZES,
    TILE_OFFSETS,
    TILE_SIZES,
    values,
)
from assay.engine.decode import jpeg
from assay.engine.outcome import Reason, Refused

_JPEG = 7
_HIDING_DAMAGE = {2: "fax", 3: "fax", 4: "fax", 6: "old-style JPEG"}
_MAX_SCANS = 100


def check_jpeg_parts(data: bytes | memoryview, header: Header) -> None:
    """
    Raises:
        Refused: `unsupported_format`: a compression whose damage cannot be seen; `truncated` or
            `undecodable`: what a strip or tile of JPEG data is.
        struct.error, IndexError: the data end within a part's headers.
    """
    found = values(data, COMPRESSION, JPEG_TABLES, STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES)
    compression = (found.get(COMPRESSION) or (1,))[0]
    if compression in _HIDING_DAMAGE:
        raise Refused(
            Reason.UNSUPPORTED_FORMAT,
            f"The TIFF is compressed as {_HIDING_DAMAGE[compression]}, which is not read.",
            format="tiff",
            compression=compression,
        )
    if compression != _JPEG:
        return
    tables = bytes(found.get(JPEG_TABLES, ()))[:-2]  # without their end marker
    tiled = TILE_OFFSETS in found
    offsets = found.get(TILE_OFFSETS if tiled else STRIP_OFFSETS, ())
    sizes = found.get(TILE_SIZES if tiled else STRIP_SIZES, ())
    rows = 0
    for offset, size in zip(offsets, sizes, strict=True):
        part = bytes(data[offset : offset + size])
        stream = tables + part[2:] if tables else part
        inner = Header("jpeg", *headers.read(stream, _MAX_SCANS))
        if inner.pixels > header.pixels * 4 + (1 << 22):
            raise Refused(
                Reason.UNDECODABLE, "The TIFF's JPEG data are larger than its image.", format="tiff"
            )
        jpeg.decode(stream, inner)
        rows += inner.height
    if not tiled and rows < header.height:
        raise Refused(
            Reason.TRUNCATED,
            f"The TIFF's JPEG data hold {rows} of {header.height} rows.",
            format="tiff",
            width=header.width,
            height=header.height,
        )
