"""What is done to a training image before a view is cut from it: steps on uint8 RGB pixels, H x W x 3.

A recipe is a tuple of steps, applied in order. Each step draws from the generator it is given, and nothing
else, so a sample's augmentation follows from its seed alone.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

Pixels: TypeAlias = NDArray[np.uint8]
Step: TypeAlias = Callable[[Pixels, np.random.Generator], Pixels]
RecipeName: TypeAlias = Literal["cnn_aug", "cnn_aug_once", "shipped", "shared", "mixed", "none"]


@dataclass(frozen=True, slots=True)
class Blur:
    """Gaussian blur on 8-bit values, as published: sigma in pixels drawn evenly from a range."""

    probability: float
    sigma: tuple[float, float] = (0.0, 3.0)

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        sigma = rng.uniform(*self.sigma)
        return np.asarray(gaussian_filter(pixels, sigma=(sigma, sigma, 0)), np.uint8)


@dataclass(frozen=True, slots=True)
class Compress:
    """Lossy compression and decoding, integer quality drawn evenly from a range, both ends included.

    The published training draws between OpenCV's JPEG and Pillow's. With 4:2:0 they are one: the same files
    and pixels, bit for bit (OpenCV 5.0.0, six qualities from 30 to 100).
    """

    probability: float
    quality: tuple[int, int] = (30, 100)
    formats: tuple[str, ...] = ("JPEG",)
    subsampling: tuple[str, ...] = ("4:2:0",)

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        low, high = self.quality
        quality = int(rng.integers(low, high, endpoint=True))
        options = {"quality": quality, "subsampling": self.subsampling[rng.integers(len(self.subsampling))]}
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, self.formats[rng.integers(len(self.formats))], **options)
        return np.asarray(Image.open(buffer).convert("RGB"))


@dataclass(frozen=True, slots=True)
class Either:
    """`steps` or, by one draw for all of them, `others`."""

    probability: float
    steps: tuple[Step, ...]
    others: tuple[Step, ...] = ()

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        for step in self.steps if rng.random() < self.probability else self.others:
            pixels = step(pixels, rng)
        return pixels


FILTERS = (
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Resizing by a factor drawn evenly from a range, but never to a side below `floor` pixels."""

    probability: float
    factor: tuple[float, float]
    floor: int
    filters: tuple[Image.Resampling, ...] = FILTERS

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        height, width = pixels.shape[:2]
        factor = max(rng.uniform(*self.factor), min(1.0, self.floor / min(height, width)))
        size = round(width * factor), round(height * factor)
        resampling = self.filters[rng.integers(len(self.filters))]
        return np.asarray(Image.fromarray(pixels).resize(size, resampling))


@dataclass(frozen=True, slots=True)
class Cut:
    """A part at a random place: sides of a share of the shorter side, the longer one up to 1.4 times that.

    Neither side falls below `floor` pixels, or below the image's own where it has fewer.
    """

    probability: float
    share: tuple[float, float]
    floor: int

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        shorter = max(rng.uniform(*self.share) * min(pixels.shape[:2]), self.floor)
        height, width = (min(whole, int(shorter * rng.uniform(1.0, 1.4))) for whole in pixels.shape[:2])
        top, left = rng.integers(0, (pixels.shape[0] - height, pixels.shape[1] - width), endpoint=True)
        return pixels[top : top + height, left : left + width]


@dataclass(frozen=True, slots=True)
class Longest:
    """Resizing to a longest side drawn evenly on a logarithmic scale, so that both classes get like sizes.

    An image is not enlarged by more than `enlarge`, and its shorter side not made less than `floor`. One with
    a longest side above the range's end is resized whatever is drawn.
    """

    probability: float
    side: tuple[int, int]
    floor: int
    enlarge: float = 1.15

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        low, high = self.side
        if rng.random() >= self.probability and max(height, width) <= high:
            return pixels
        most = min(high, self.enlarge * max(height, width))
        side = np.exp(rng.uniform(np.log(min(low, most)), np.log(most)))
        factor = max(side / max(height, width), min(1.0, self.floor / min(height, width)))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        resampling = FILTERS[rng.integers(len(FILTERS))]
        return np.asarray(Image.fromarray(pixels).resize(size, resampling))


@dataclass(frozen=True, slots=True)
class Sharpen:
    """An unsharp mask, its radius in pixels and its strength in percent each drawn evenly from a range."""

    probability: float
    radius: tuple[float, float]
    percent: tuple[int, int]

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        radius, percent = rng.uniform(*self.radius), int(rng.integers(*self.percent, endpoint=True))
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(radius, percent, 0)))


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise, standard deviation drawn evenly from a range, in 8-bit steps."""

    probability: float
    deviation: tuple[float, float]

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(*self.deviation)
        return _to_uint8(pixels + noise)


@dataclass(frozen=True, slots=True)
class Colour:
    """Gain, offset, gamma and saturation, each drawn evenly around doing nothing by up to `strength`."""

    probability: float
    strength: float

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        gain, offset, gamma, saturation = rng.uniform(-self.strength, self.strength, 4)
        values = (pixels.astype(np.float32) / 255) ** np.float32(np.exp(gamma))
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * (1 + saturation)
        return _to_uint8((values * (1 + gain) + offset / 2) * 255)


@dataclass(frozen=True, slots=True)
class Grey:
    """Greyscale."""

    probability: float

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.probability:
            return pixels
        return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


@dataclass(frozen=True, slots=True)
class Flip:
    """Left and right exchanged."""

    probability: float = 0.5

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        return pixels[:, ::-1] if rng.random() < self.probability else pixels


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn by 0, 90, 180 or 270 degrees."""

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        return np.rot90(pixels, int(rng.integers(4)))


def recipe(name: RecipeName, size: int) -> tuple[Step, ...]:
    """The steps of a named recipe for views of `size` pixels a side.

    `cnn_aug`: as published with CNNDetection (Wang et al. 2020) and used by the Fusing paper: blur with sigma
    from 0 to 3 and JPEG of quality 30 to 100, each on one image in ten, and flips.
    `cnn_aug_once`: the same, but both on the same one in ten, as the Fusing paper's second version can be
    read.
    `shipped`: what the bundles that come with Assay were trained with on the benchmark of `assay data`.
    `shared`: what happens to images on their way through the web: cut, resized to all sizes, sharpened or
    blurred, compressed once or twice. The same draws for both classes leave neither size nor format nor
    sharpness to tell them apart, so it is for images of many sources that are not stored alike.
    `mixed`: `shared` for two images in three, a milder form of it for the third.
    """
    if name == "none":
        return ()
    if name == "cnn_aug":
        return (Blur(0.1), Compress(0.1), Flip())
    if name == "cnn_aug_once":
        return (Either(0.1, (Blur(1.0), Compress(1.0))), Flip())
    if name == "shared":
        return (
            Flip(),
            Cut(0.35, (0.55, 1.0), floor=size + size // 4),
            Longest(0.75, (256, 1024), floor=160),
            Blur(0.08, (0.3, 1.2)),
            Sharpen(0.06, (0.5, 1.5), (30, 120)),
            Noise(0.1, (0.5, 5.0)),
            Compress(0.9, (40, 97), ("JPEG",) * 4 + ("WEBP",), ("4:2:0", "4:2:0", "4:4:4")),
            Rescale(0.15, (0.7, 1.1), floor=160),
            Compress(0.1, (55, 95), ("JPEG",) * 4 + ("WEBP",), ("4:2:0", "4:2:0", "4:4:4")),
        )
    if name == "mixed":
        mild = (
            Flip(),
            Cut(0.3, (0.6, 1.0), floor=size + size // 4),
            Rescale(0.5, (0.6, 1.1), floor=200),
            Compress(0.85, (65, 97), ("JPEG",) * 4 + ("WEBP",), ("4:2:0", "4:2:0", "4:4:4")),
        )
        return (Either(2 / 3, recipe("shared", size), mild),)
    return (
        Flip(),
        Turn(),
        Rescale(0.2, (0.6, 1.25), floor=size),
        Colour(0.5, 0.25),
        Blur(0.1, (0.1, 1.5)),
        Noise(0.1, (0.5, 4.0)),
        Grey(0.05),
        Compress(0.3, (50, 100), ("JPEG", "JPEG", "JPEG", "WEBP"), ("4:2:0", "4:4:4")),
    )


VALIDATION: tuple[Step, ...] = (Blur(0.1, (1.5, 1.5)), Compress(0.1, (65, 65)))
"""What the published code does to validation images: as in training, but always of middling strength."""


def altering(steps: Sequence[Step], seed: int = 0) -> Callable[[Pixels], Pixels]:
    """Applies `steps` to one image after the other; the same images in the same order become the same."""
    rng = np.random.default_rng(seed)

    def alter(pixels: Pixels) -> Pixels:
        for step in steps:
            pixels = step(pixels, rng)
        return pixels

    return alter


def _to_uint8(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
