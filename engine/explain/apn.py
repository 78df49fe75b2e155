"""`apn`: the bands over the half spectrum, and what remains of the image in the most trusted ones."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.engine.explain.seen import Floats, Trace, enlarged, stretched
from assay.engine.explain.sheet import PAPER, Panel
from assay.engine.report.picture import turned

SHOWN = 3
"""Bands that are drawn, the most trusted first; the others are listed."""
_COLOURS = np.array(((255, 60, 60), (60, 220, 60), (90, 110, 255)), np.float32)


def panels(seen: Trace) -> list[Panel]:
    bands = seen.detection.evidence["bands"]
    moduli = seen.calls["propose"].inputs[0]
    (views, purified), (_, confidence) = seen.calls["classify"].inputs, seen.calls["classify"].outputs
    order = np.argsort(-confidence[0], kind="stable")[: len(bands)]
    rgb = slice(None, None, -1) if seen.manifest.view.channels == "bgr" else slice(None)
    background = spectrum_image(moduli[0])
    found = [
        Panel("Photograph", seen.photo(500).image),
        Panel("The view that is scored", enlarged(seen.views(views)[0], 300)),
        Panel(
            "What its most trusted bands keep",
            enlarged(turned(stretched(purified[0, order[0]][rgb]), seen.orientation), 300),
            [f"confidence {bands[0]['confidence']:.3f}; contrast stretched"],
        ),
    ]
    for rank, band in enumerate(bands[:SHOWN]):
        for part in ("amplitude", "phase"):
            found.append(
                Panel(
                    f"Bands {rank + 1}: {part}",
                    overlaid(background, np.array(band[part])[rgb]),
                    [f"confidence {band['confidence']:.3f}"],
                    line=not rank and part == "amplitude",
                )
            )
    others = ", ".join(f"{band['confidence']:.3f}" for band in bands[SHOWN:])
    wide = Image.new("RGB", (900, 1), PAPER)
    notes = [
        "Half spectrum of the view as stored, in cycles per pixel: x from 0 to 0.5, y from -0.5 to 0.5.",
        "Rows and columns that are kept are tinted in the colour of their channel; white: in all three.",
    ]
    return [*found, Panel("How to read it", wide, [*notes, f"Other bands: {others}." if others else ""])]


def spectrum_image(moduli: Floats) -> NDArray[np.float32]:
    """(3, S, S//2+1) amplitudes -> (S, S//2+1) grey 0..255 of their logarithm, frequency 0 in mid-height."""
    grey = np.log(moduli.mean(axis=0) + 1e-6)
    return np.asarray(stretched(np.fft.fftshift(grey, axes=0)), np.float32)


def overlaid(background: NDArray[np.float32], crosses: NDArray[np.float64]) -> Image.Image:
    """Tints what crosses (3, 4) of red, green and blue hold, in cycles per pixel as evidence has them."""
    side, columns = background.shape
    tint = np.zeros((side, columns, 3), np.float32)
    for colour, (top, bottom, left, right) in zip(_COLOURS, np.rint(crosses * side).astype(int), strict=True):
        mask = np.zeros((side, columns), bool)
        mask[top : bottom + 1] = True
        mask[:, left : right + 1] = True
        tint += np.fft.fftshift(mask, axes=0)[..., None] * colour
    values = 0.5 * background[..., None] + 0.45 * np.minimum(tint, 255)
    return enlarged(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)), 300)
