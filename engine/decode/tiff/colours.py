"""From unpacked bytes to 8-bit RGB: bit depths, byte orders, predictors, photometric interpretations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.engine.decode.samples import eight_bits, unpacked
from assay.engine.decode.tiff import layout as tags
from assay.engine.decode.tiff.layout import Layout

Samples = NDArray[Any]  # uint8 or uint16


def rgb(planes: list[NDArray[np.uint8]], layout: Layout) -> NDArray[np.uint8]:
    """(rows, part_width, 3) of the (rows, row_bytes) of every plane."""
    found = [_samples(raw, layout) for raw in planes]
    samples = np.concatenate(found, axis=2) if len(found) > 1 else found[0]
    colours = _eight_bits(samples[..., : layout.colours], layout)
    if layout.premultiplied:
        alpha = _scaled(samples[..., layout.colours : layout.used], layout.bits)
        colours = _unmultiplied(colours, alpha)
    if layout.photometric == tags.CMYK:
        inks = np.ascontiguousarray(colours)
        image = Image.frombuffer("CMYK", inks.shape[1::-1], inks, "raw", "CMYK", 0, 1)
        return np.asarray(image.convert("RGB"))
    return colours


def _samples(raw: NDArray[np.uint8], layout: Layout) -> Samples:
    """(rows, part_width, samples) of one plane, as they are stored but for byte order and predictor."""
    count = 1 if layout.planar else layout.samples
    if layout.bits == 8:
        values: Samples = raw
    elif layout.bits == 16:
        values = np.ascontiguousarray(raw).view(f"{layout.order}u2").astype(np.uint16)
    else:
        values = unpacked(raw, layout.bits, layout.part_width * count)
    values = values.reshape(len(raw), layout.part_width, count)
    return np.add.accumulate(values, axis=1, dtype=values.dtype) if layout.predicted else values


def _eight_bits(colours: Samples, layout: Layout) -> NDArray[np.uint8]:
    if layout.palette is not None:
        return layout.palette[colours[..., 0]]
    grey = layout.colours == 1
    eight = eight_bits(colours, layout.bits) if grey else _scaled(colours, layout.bits)
    if layout.photometric == tags.WHITE_IS_ZERO:
        eight = 255 - eight
    return np.repeat(eight, 3, axis=2) if grey else eight


def _scaled(values: Samples, bits: int) -> NDArray[np.uint8]:
    """Colour keeps its highest 8 bits, where it has as many."""
    return (values >> (bits - 8)).astype(np.uint8) if bits >= 8 else eight_bits(values, bits)


def _unmultiplied(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    whole = np.minimum(colours.astype(np.uint16) * 255 // np.maximum(alpha, 1), 255).astype(np.uint8)
    return np.where(alpha == 0, 0, whole).astype(np.uint8)
