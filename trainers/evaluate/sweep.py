"""What becomes of a detector when images are passed on: compressed, blurred, resized, cropped, recaptured.

Levels are fixed and named, so that figures of two reports can be compared. A level does the same to an image
whatever came before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from assay.engine.errors import SetupError
from assay.trainers.data.augment import Blur, Compress, Pixels, Rescale, Step
from assay.trainers.evaluate.score import Alter


@dataclass(frozen=True)
class Crop:
    """The central part, `share` of each side."""

    share: float

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = (max(1, round(side * self.share)) for side in pixels.shape[:2])
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])


@dataclass(frozen=True)
class Level:
    """A strength by name, where it stands on the axis of a plot, and what it does to decoded pixels."""

    name: str
    strength: float
    steps: tuple[Step, ...]

    def __call__(self, pixels: Pixels) -> Pixels:
        """Raises OSError where a format cannot hold so large an image."""
        rng = np.random.default_rng(0)
        try:
            for step in self.steps:
                pixels = step(pixels, rng)
        except ValueError as error:  # so Pillow says that a WebP has sides of at most 16383 pixels
            raise OSError(str(error)) from None
        return pixels


@dataclass(frozen=True)
class Sweep:
    """One kind of damage at rising strength; `across` names the axis."""

    name: str
    across: str
    levels: tuple[Level, ...]


def resized(factor: float) -> Rescale:
    return Rescale(1.0, (factor, factor), 1, (Image.Resampling.BICUBIC,))


def _compressed(quality: int, kind: str = "JPEG") -> Compress:
    return Compress(1.0, (quality, quality), (kind,))


def _screenshot(factor: float, quality: int) -> Level:
    """Shown at a part of its size, captured losslessly as PNG, which changes no pixel, and sent as JPEG."""
    steps = (resized(factor), _compressed(quality))
    return Level(f"shown at {factor:g}, PNG, JPEG {quality}", factor, steps)


SWEEPS: Mapping[str, Sweep] = {
    sweep.name: sweep
    for sweep in (
        Sweep(
            "jpeg",
            "JPEG quality",
            tuple(Level(f"quality {q}", q, (_compressed(q),)) for q in (95, 85, 75, 60, 45, 30)),
        ),
        Sweep(
            "webp",
            "WebP quality",
            tuple(Level(f"quality {q}", q, (_compressed(q, "WEBP"),)) for q in (95, 80, 60, 40)),
        ),
        Sweep(
            "blur",
            "standard deviation of a Gaussian blur, pixels",
            tuple(Level(f"sigma {s:g}", s, (Blur(1.0, (s, s)),)) for s in (0.5, 1.0, 2.0, 3.0)),
        ),
        Sweep(
            "resize",
            "factor of the size, bicubic",
            tuple(Level(f"times {f:g}", f, (resized(f),)) for f in (1.5, 0.75, 0.5, 0.35)),
        ),
        Sweep(
            "crop",
            "part of each side, central",
            tuple(Level(f"{part:g} of a side", part, (Crop(part),)) for part in (0.9, 0.75, 0.5, 0.35)),
        ),
        Sweep(
            "screenshot",
            "shown at this factor of its size, then PNG, then JPEG 90, 80, 70",
            (_screenshot(0.9, 90), _screenshot(0.75, 80), _screenshot(0.5, 70)),
        ),
    )
}


def chosen(names: str) -> list[Sweep]:
    """The sweeps of a list such as `jpeg,blur`. Raises SetupError where there is none of a name."""
    found = []
    for name in names.split(","):
        if name.strip() not in SWEEPS:
            raise SetupError(
                f"--sweep: there is no sweep named {name.strip()!r}; choose of {','.join(SWEEPS)}"
            )
        found.append(SWEEPS[name.strip()])
    return list(dict.fromkeys(found))


def blurred(sigma: float) -> Alter:
    """Blurs by `sigma` pixels; 0 does nothing."""
    return Level("", sigma, (Blur(1.0, (sigma, sigma)),) if sigma else ())


def compressed(quality: int) -> Alter:
    """Compresses to JPEG and decodes."""
    return Level("", quality, (_compressed(quality),))
