"""Cutting the face out of an image with Segment Anything (Kirillov et al. 2023), so that only it is judged.

Optional graphs of a bundle: `sam_encode`: image (N, 3, D, D) -> embedding (N, C, E, E), the view scaled so
that its longer side is D and padded right and below; `sam_decode`: embedding, points (N, P, 2), x and y in
pixels of that view -> masks (N, 3, M, M), logits over the padded view, and overlap (N, 3), how well SAM
expects each to fit.

Masks are made on the host, in NumPy and Pillow, step by step as SAM's own code makes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Graph, Image

Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float32]
Choice: TypeAlias = Literal["best", "largest", "smallest"]
Outside: TypeAlias = Literal["black", "grey", "mean"]

MEAN, STD = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
STRIP = 1 << 20
"""Pixels of a mask that are computed at once."""


@dataclass(frozen=True, kw_only=True)
class CutSettings:
    """What SAM is asked, and what is made of its answer.

    points: (y, x) of points on the face as fractions of the image's height and width.
    choice: which of three masks: the one with the best predicted overlap, the largest, or the smallest.
    outside: what replaces pixels outside the mask: black, mid grey, or the mean colour inside.
    """

    points: tuple[tuple[float, float], ...] = ((0.5, 0.5),)
    choice: Choice = "best"
    outside: Outside = "black"

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 -- read by pydantic where a manifest holds it

    def __post_init__(self) -> None:
        if not self.points or not all(0 <= part <= 1 for point in self.points for part in point):
            raise ValueError(f"points must be (y, x) fractions in 0..1, one at least, not {self.points!r}")
        for value, choices in ((self.choice, Choice), (self.outside, Outside)):
            if value not in get_args(choices):
                raise ValueError(f"{value!r} is not one of {', '.join(get_args(choices))}")


def check(manifest: Manifest, settings: CutSettings) -> None:
    """Raise ValueError unless the graphs of SAM fit each other and the points."""
    if missing := {"sam_encode", "sam_decode"} - manifest.graphs.keys():
        raise ValueError(f"parameters.face needs graph {', '.join(sorted(missing))}")
    encode, decode = manifest.graphs["sam_encode"], manifest.graphs["sam_decode"]
    side = encode.inputs.get("image", ("N", 3, 0, 0))[-1]
    embedding = tuple(encode.outputs.get("embedding", ())[1:])
    mask = decode.outputs.get("masks", ("N", 3, 0, 0))[-1]
    wanted: list[tuple[str, Mapping[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]] = [
        ("inputs of 'sam_encode'", encode.inputs, {"image": (3, side, side)}),
        ("outputs of 'sam_encode'", encode.outputs, {"embedding": embedding}),
        (
            "inputs of 'sam_decode'",
            decode.inputs,
            {"embedding": embedding, "points": (len(settings.points), 2)},
        ),
        ("outputs of 'sam_decode'", decode.outputs, {"masks": (3, mask, mask), "overlap": (3,)}),
    ]
    for what, tensors, shapes in wanted:
        found = {name: tuple(shape[1:]) for name, shape in tensors.items()}
        if list(found.items()) != list(shapes.items()):
            raise ValueError(f"{what} must be, after the images, {shapes}, not {found}")


def intermediate_bytes(manifest: Manifest) -> int:
    """Bytes that SAM needs for one image: its attention over all places, for 16 heads, and its input."""
    side = int(manifest.graphs["sam_encode"].inputs["image"][-1])
    places = int(manifest.graphs["sam_encode"].outputs["embedding"][-1]) ** 2
    return 2 * 16 * places**2 * 4 + 2 * 3 * side**2 * 4


def find_masks(
    images: Sequence[Image], graphs: Mapping[str, Graph], manifest: Manifest, settings: CutSettings
) -> list[Mask]:
    """B images (H, W, 3) uint8 RGB -> as many masks (H, W), true on the face."""
    side = int(manifest.graphs["sam_encode"].inputs["image"][-1])
    embeddings, points = [], []
    for image in images:  # one at a time: the encoder's attention is what takes memory
        shown, (height, width) = padded(on_host(image), side)
        embeddings.append(graphs["sam_encode"](np.asarray(shown, like=image))[0])
        points.append([(x * width, y * height) for y, x in settings.points])
    asked = np.asarray(np.array(points, np.float32), like=embeddings[0])
    masks, overlap = map(on_host, graphs["sam_decode"](np.concatenate(embeddings), asked))
    return [
        chosen_mask(three, trust, image.shape[:2], side, settings.choice)
        for image, three, trust in zip(images, masks, overlap, strict=True)
    ]


def padded(image: Image, side: int) -> tuple[Floats, tuple[int, int]]:
    """(H, W, 3) uint8 -> (1, 3, side, side) as SAM takes it, and (height, width) of what it fills of that."""
    height, width = size = fitted(image.shape[:2], side)
    small = Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR)
    shown = np.zeros((1, 3, side, side), np.float32)
    values = (np.asarray(small, np.float32) / 255 - MEAN) / STD
    shown[0, :, :height, :width] = values.transpose(2, 0, 1)
    return shown, size


def fitted(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of an image whose longer side becomes `side`."""
    scale = side / max(size)
    height, width = (max(1, int(length * scale + 0.5)) for length in size)
    return height, width


def chosen_mask(masks: Floats, overlap: Floats, size: tuple[int, ...], side: int, choice: Choice) -> Mask:
    """Logits (3, M, M) over a padded view of `side` -> the one of three masks, (H, W) as `size` says."""
    if choice == "best":
        return _full_size(masks[int(np.argmax(overlap))], size, side)
    full = [_full_size(mask, size, side) for mask in masks]
    areas = [int(mask.sum()) for mask in full]
    return full[int(np.argmax(areas) if choice == "largest" else np.argmin(areas))]


def _full_size(logits: Floats, size: tuple[int, ...], side: int) -> Mask:
    """Logits (M, M) over a padded view -> (H, W) where they are above 0, scaled twice as SAM does."""
    inner = fitted(size, side)
    small = _scaled(_scaled(logits, side, 0, inner[0], 0), side, 0, inner[1], 1)
    wide = _scaled(small, size[1], 0, size[1], 1)
    mask = np.empty(size, np.bool_)
    rows = max(1, STRIP // size[1])
    for top in range(0, size[0], rows):
        stop = min(top + rows, size[0])
        np.greater(_scaled(wide, size[0], top, stop, 0), 0, out=mask[top:stop])
    return mask


def _scaled(values: Floats, target: int, start: int, stop: int, axis: int) -> Floats:
    """Places start..stop of an axis scaled to `target`: two taps, centres at i + 0.5, no antialiasing."""
    source = values.shape[axis]
    centre = np.clip((np.arange(start, stop) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = centre.astype(np.int64)
    part = np.expand_dims((centre - low).astype(np.float32), 1 - axis)
    lower = values.take(low, axis)
    scaled: Floats = lower + (values.take(np.minimum(low + 1, source - 1), axis) - lower) * part
    return scaled


def cut(image: Image, mask: Mask, outside: Outside) -> Image:
    """(H, W, 3) uint8 RGB -> the same, what lies outside the mask replaced; black too where it is empty."""
    pixels = on_host(image)
    fill = np.zeros(3, np.uint8)
    if outside == "grey":
        fill += np.uint8(128)
    elif outside == "mean" and mask.any():
        fill = np.rint(pixels[mask].mean(axis=0)).astype(np.uint8)
    found: Image = np.asarray(np.where(mask[..., None], pixels, fill), like=image)
    return found


def evidence(mask: Mask) -> dict[str, Any]:
    """The box around a mask, top, left, bottom, right (null: it is empty), and its share of the area."""
    box = None
    if mask.any():
        (top, bottom), (left, right) = (_ends(np.any(mask, axis=axis)) for axis in (1, 0))
        box = [top, left, bottom, right]
    return {"box": box, "share": round(float(mask.mean()), 4)}


def _ends(line: Mask) -> Iterator[int]:
    """The first place that is true, and the one behind the last."""
    yield int(line.argmax())
    yield len(line) - int(line[::-1].argmax())


def on_host(array: Any) -> Any:
    """A NumPy array of a NumPy or CuPy array."""
    return array if isinstance(array, np.ndarray) else array.get()
