"""How the first image of a TIFF lies in its file, and whether it is one that is read (TIFF 6.0)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import Header
from assay.engine.admission.tiff import (
    COMPRESSION,
    JPEG_TABLES,
    LENGTH,
    STRIP_OFFSETS,
    STRIP_SIZES,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_SIZES,
    TILE_WIDTH,
    WIDTH,
    values,
)
from assay.engine.outcome import Reason, Refused

_BITS, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _STRIP_ROWS, _PLANAR = 258, 262, 266, 277, 278, 284
_PREDICTOR, _PALETTE, _INK_SET, _EXTRA, _FORMAT = 317, 320, 332, 338, 339
_TAGS = (
    *(WIDTH, LENGTH, COMPRESSION, STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES, TILE_WIDTH),
    *(TILE_LENGTH, JPEG_TABLES, _BITS, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _STRIP_ROWS, _PLANAR),
    *(_PREDICTOR, _PALETTE, _INK_SET, _EXTRA, _FORMAT),
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
_OTHER_COLOURS = {
    4: "a transparency mask",
    8: "CIELab colours",
    9: "ICCLab colours",
    10: "ITULab colours",
    32803: "a camera's colour filter array",
    32844: "LogL luminance",
    32845: "LogLuv colours",
    34892: "linear raw data of a camera",
}
NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 7, 8, 32946, 32773
LZMA, ZSTD = 34925, 50000
_READ = frozenset({NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD})
_PREDICTING = frozenset({LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD})
_OTHER_COMPRESSIONS = {
    # damage of fax data and old-style JPEG does not show
    **dict.fromkeys((2, 3, 4), "fax"),
    6: "old-style JPEG",
    32809: "ThunderScan",
    32909: "PixarLog",
    **dict.fromkeys((33003, 33005, 34712), "JPEG 2000"),
    34661: "JBIG",
    **dict.fromkeys((34676, 34677), "SGI Log"),
    34887: "LERC",
    34892: "lossy JPEG of a DNG",
    50001: "WebP",
    50002: "JPEG XL",
}
MAX_PARTS = 1 << 16
"""Strips and tiles of the image, planes included."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tags say, once it is known to be readable."""

    width: int
    height: int
    order: str
    """`<` or `>`."""
    bits: int
    """Of every sample, 1 to 16; unsigned."""
    samples: int
    """A pixel, those that are dropped included."""
    photometric: int
    premultiplied: bool
    """The first sample behind the colours is alpha, and the colours are multiplied by it."""
    planar: bool
    """Samples lie in planes of their own."""
    compression: int
    predicted: bool
    """Samples are differences from their left neighbours."""
    reversed: bool
    """The first bit of a byte is its lowest."""
    palette: NDArray[np.uint8] | None
    """(colours, 3)"""
    tiled: bool
    part_width: int
    part_height: int
    offsets: Sequence[int]
    sizes: Sequence[int]
    tables: bytes
    """Tables that all parts of JPEG data share, as a JPEG without an image."""

    @property
    def colours(self) -> int:
        return _COLOURS[self.photometric]

    @property
    def used(self) -> int:
        """Samples a pixel that decide its colour; they come first."""
        return self.colours + self.premultiplied

    @property
    def across(self) -> int:
        return -(-self.width // self.part_width)

    @property
    def places(self) -> int:
        """Strips, or tiles, of one plane."""
        return self.across * -(-self.height // self.part_height)

    @property
    def row_bytes(self) -> int:
        """Of a row of a strip or tile, when it is unpacked."""
        return -(-self.part_width * (1 if self.planar else self.samples) * self.bits // 8)

    def rows(self, place: int) -> int:
        """Rows that a strip or tile holds: the last strip may be shorter, a tile is always whole."""
        top = place // self.across * self.part_height
        return self.part_height if self.tiled else min(self.part_height, self.height - top)


def read(data: bytes | memoryview, header: Header) -> Layout:
    """
    Raises:
        Refused: `unsupported_format`: colours or a compression that are not read; `undecodable`: tags that
            contradict one another, or samples that do not say what is white.
        struct.error: the data end within the tags.
    """
    found = values(data, *_TAGS)

    def first(tag: int, missing: int) -> int:
        return (found.get(tag) or (missing,))[0]

    width, height, compression = first(WIDTH, 0), first(LENGTH, 0), first(COMPRESSION, NONE)
    if (width, height) != (header.width, header.height):
        raise _undecodable(
            f"header states {header.width}x{header.height} pixels, its image {width}x{height}", header
        )
    if compression not in _READ:
        raise _unsupported(
            f"is compressed as {_OTHER_COMPRESSIONS.get(compression, f'number {compression}')}",
            header,
            compression=compression,
        )
    photometric = first(_PHOTOMETRIC, -1)
    if photometric not in _COLOURS:
        if photometric < 0:
            raise _undecodable("tags do not say what its samples mean (PhotometricInterpretation)", header)
        named = _OTHER_COLOURS.get(photometric, f"colours of number {photometric}")
        raise _unsupported(f"holds {named}", header, photometric=photometric)
    colours = _COLOURS[photometric]
    samples = first(_SAMPLES, 3 if compression == JPEG and photometric in (RGB, YCBCR) else 1)
    extra = found.get(_EXTRA, ())
    _check_samples(found, header, photometric, samples)
    bits = first(_BITS, 1)
    planar = first(_PLANAR, 1) == 2 and samples > 1
    predictor = first(_PREDICTOR, 1)
    if (
        predictor != 1
        and compression != JPEG
        and (predictor != 2 or bits not in (8, 16) or compression not in _PREDICTING)
    ):
        raise _unsupported(f"has {bits}-bit samples under predictor {predictor}", header, predictor=predictor)
    if compression == JPEG and (bits != 8 or samples != colours or photometric in (PALETTE, CMYK)):
        raise _unsupported(
            f"holds JPEG data of {samples} samples of {bits} bits, colours of number {photometric}", header
        )
    if photometric == YCBCR and (compression != JPEG or planar):
        raise _unsupported("holds YCbCr colours outside of JPEG data", header, photometric=photometric)
    tiled = TILE_OFFSETS in found
    layout = Layout(
        width=width,
        height=height,
        order="<" if data[0] == 0x49 else ">",
        bits=bits,
        samples=samples,
        photometric=photometric,
        premultiplied=samples > colours and extra[:1] == (1,),
        planar=planar,
        compression=compression,
        predicted=predictor == 2 and compression != JPEG,
        reversed=first(_FILL_ORDER, 1) == 2 and compression != JPEG,
        palette=_palette(found.get(_PALETTE, ()), bits, header) if photometric == PALETTE else None,
        tiled=tiled,
        part_width=first(TILE_WIDTH, 0) if tiled else width,
        part_height=first(TILE_LENGTH, 0) if tiled else min(first(_STRIP_ROWS, height), height),
        offsets=found.get(TILE_OFFSETS if tiled else STRIP_OFFSETS, ()),
        sizes=found.get(TILE_SIZES if tiled else STRIP_SIZES, ()),
        tables=bytes(found.get(JPEG_TABLES, ())),
    )
    _check_parts(layout, header)
    return layout


def _check_samples(found: dict[int, tuple[int, ...]], header: Header, photometric: int, samples: int) -> None:
    colours = _COLOURS[photometric]
    bits, formats = set(found.get(_BITS, (1,))), set(found.get(_FORMAT, (1,)))
    if samples < colours:
        raise _undecodable(f"pixels have {samples} samples and need {colours}", header)
    if samples > colours + 1 and colours == 1:
        raise _unsupported(f"has {samples} samples a pixel, of which one is grey or a palette's", header)
    if len(bits) != 1:
        raise _unsupported(f"has samples of unequal depth ({sorted(bits)} bits)", header)
    if not 1 <= min(bits) <= 16 or not formats <= {1, 4}:
        kind = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}.get(max(formats), "")
        raise Refused(
            Reason.UNDECODABLE,
            f"The TIFF holds {kind}{min(bits)}-bit samples, which do not say what is white.",
            format="tiff",
            bits=min(bits),
        )
    if found.get(_INK_SET, (1,))[0] != 1 and photometric == CMYK:
        raise _unsupported("holds inks that are not CMYK", header)


def _check_parts(layout: Layout, header: Header) -> None:
    if layout.part_width < 1 or layout.part_height < 1:
        raise _undecodable(f"parts have {layout.part_width}x{layout.part_height} pixels", header)
    planes = layout.samples if layout.planar else 1
    count = layout.places * planes
    if count > MAX_PARTS:
        raise _undecodable(
            f"image lies in {count} strips or tiles; at most {MAX_PARTS} are accepted", header, MAX_PARTS
        )
    if len(layout.offsets) < count:
        raise Refused(
            Reason.TRUNCATED,
            f"The TIFF holds {len(layout.offsets)} of {count} strips or tiles.",
            format="tiff",
            width=layout.width,
            height=layout.height,
        )
    if layout.compression != NONE and len(layout.sizes) < count:
        raise _undecodable("tags do not say how long its strips or tiles are", header)


def _palette(found: Sequence[int], bits: int, header: Header) -> NDArray[np.uint8]:
    if len(found) != 3 << bits:
        raise _undecodable(f"palette has {len(found)} values; {bits} bits need {3 << bits}", header)
    table = np.array(found, np.uint32).reshape(3, -1).T
    # some programs write 8 bits where 16 belong: nothing else is below 1/256 everywhere
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)


def _undecodable(fault: str, header: Header, limit: int | None = None) -> Refused:
    about = {"format": "tiff", "width": header.width, "height": header.height}
    return Refused(
        Reason.UNDECODABLE, f"The TIFF's {fault}.", **about, **({} if limit is None else {"limit": limit})
    )


def _unsupported(what: str, header: Header, **about: int) -> Refused:
    return Refused(
        Reason.UNSUPPORTED_FORMAT,
        f"The TIFF {what}; that is not read.",
        format="tiff",
        width=header.width,
        height=header.height,
        **about,
    )
