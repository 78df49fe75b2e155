"""Views and batched crops against what people write today, on one CPU thread or on a GPU.

    OMP_NUM_THREADS=1 python -m assay.bench.kernels_view            prints tables in Markdown
    OMP_NUM_THREADS=1 python -m assay.bench.kernels_view -o FILE    and writes them, too

The sides of a row take turns in one run, ten calls a turn. A figure is the shortest time of each, on the CPU
in the thread's own time, so that other work on the machine counts little; behind it stands the shortest of
the calls that open a turn and find the caches as another side left them, as after a decode. With a GPU the
crops are timed there as well. Needs torch and torchvision (the train extra).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

from assay.bench.provenance import provenance
from assay.engine.report.markdown import table
from assay.kernels import ViewRule, crop_resize, patch_boxes, view
from assay.kernels.rule import Resize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224
Crop = Literal["centre"] | tuple[tuple[float, float], ...]
FIVE: Crop = ((0, 0), (0, 1), (0.5, 0.5), (1, 0), (1, 1))
VIEWS: list[tuple[str, tuple[int, int], Resize, Crop]] = [
    ("512x384, short side 224, centre", (384, 512), "short_side", "centre"),
    ("512x384, five native crops", (384, 512), "none", FIVE),
    ("1280x853, short side 224, centre", (853, 1280), "short_side", "centre"),
    ("4000x3000, short side 224, centre", (3000, 4000), "short_side", "centre"),
    ("200x150, short side 224, centre", (150, 200), "short_side", "centre"),
]
BATCHES = {
    "256x256": [(256, 256)] * 4,
    "512x384": [(384, 512)] * 4,
    "1280x853": [(853, 1280)] * 4,
    "mixed, 300x200 to 1280x853": [(384, 512), (853, 1280), (200, 300), (480, 640)],
}
METHOD = """One thread, the shortest of many calls; in brackets the shortest of those that open a turn of ten,
after another side has had the caches. Trust the ratios."""
Work = Callable[[], object]


def best_ms(works: Sequence[Work], gpu: bool = False, seconds: float = 2.0) -> list[tuple[float, float]]:
    """The shortest time of each and the shortest first call of a turn in ms, in about `seconds` a work."""
    clock = time.perf_counter if gpu else time.thread_time
    wait = torch.cuda.synchronize if gpu else int
    times: list[list[list[float]]] = [[] for _ in works]
    end = time.perf_counter() + seconds * len(works)
    while time.perf_counter() < end:
        for work, turns in zip(works, times, strict=True):
            turns.append([])
            for _ in range(10):
                start = clock()
                work()
                wait()
                turns[-1].append(1000 * (clock() - start))
    return [(min(map(min, turns)), min(turn[0] for turn in turns)) for turns in times]


def row(name: str, figures: Sequence[tuple[float, float]]) -> list[str]:
    """A row of a table; the last figure is ours, the ratio is the first one's to it."""
    cells = [f"{best:.2f} ({first:.2f})" for best, first in figures]
    best, first = (theirs / ours for theirs, ours in zip(figures[0], figures[-1], strict=True))
    return [name, *cells, f"{best:.1f} ({first:.1f})"]


def photograph(size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise: none of the sides looks at the values."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def pillow_views(image: Image.Image, rule: ViewRule) -> object:
    """Resize and crop with Pillow; to float, to 0..1, mean, std and channels first with NumPy."""
    height, width = rule.scaled(image.height, image.width)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    views = []
    for y, x in rule.fractions:
        top, left = int(y * (height - SIDE)), int(x * (width - SIDE))
        values = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
        values = (values - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        views.append(np.ascontiguousarray(values.transpose(2, 0, 1)))
    return views


def torchvision_views(image: Image.Image, rule: ViewRule) -> object:
    """The usual chain of torchvision's transforms on a Pillow image."""
    height, width = rule.scaled(image.height, image.width)
    if (height, width) != (image.height, image.width):
        image = functional.resize(image, [height, width])
    views = []
    for y, x in rule.fractions:
        cut = functional.crop(image, int(y * (height - SIDE)), int(x * (width - SIDE)), SIDE, SIDE)
        views.append(functional.normalize(functional.to_tensor(cut), list(MEAN), list(STD)))
    return views


def view_table() -> str:
    rows = [["view, ms an image (first)", "Pillow", "torchvision", "assay", "Pillow / assay"]]
    for name, size, resize, crop in VIEWS:
        rule = ViewRule(resize=resize, size=SIDE, crop=crop, mean=MEAN, std=STD)
        pixels = photograph(size)
        image = Image.fromarray(pixels)
        usual = [partial(pillow_views, image, rule), partial(torchvision_views, image, rule)]
        rows.append(row(name, best_ms([*usual, partial(view, [pixels], rule)])))
    return table(rows)


def looped_crops(images: Sequence[torch.Tensor], boxes: Sequence[Any]) -> object:
    """As published: normalise each whole image, then cut and interpolate box by box in Python."""
    mean, std = (torch.tensor(triple, device=images[0].device)[:, None, None] for triple in (MEAN, STD))
    out = torch.zeros(len(images), len(boxes[0]), 3, SIDE, SIDE, device=images[0].device)
    for index, pixels in enumerate(images):
        whole = (pixels.permute(2, 0, 1).float() / 255 - mean) / std
        for place, (top, left, bottom, right) in enumerate(boxes[index]):
            cut = whole[:, top:bottom, left:right]
            if cut.shape[1:] != (SIDE, SIDE):
                cut = torch.nn.functional.interpolate(
                    cut[None], (SIDE, SIDE), mode="bilinear", align_corners=True
                )[0]
            out[index, place] = cut
    return out.flatten(0, 1)


def crops_table(gpu: bool) -> str:
    """Batches of four images with six boxes each, as the fusing detector cuts them."""
    place = "GPU" if gpu else "CPU"
    rows = [[f"crop_resize, ms a batch of 4 ({place})", "loop", "assay", "loop / assay"]]
    windows = np.random.default_rng(0).integers(0, 5, (4, 3, 2), dtype=np.int32)
    for name, sizes in BATCHES.items():
        shapes = np.array(sizes, np.int32)
        large, small = patch_boxes(windows, 3, 7, shapes, 224), patch_boxes(windows, 2, 7, shapes, 112)
        boxes = np.concatenate([large, small], axis=1)
        pixels = [photograph(size) for size in sizes]
        tensors = [torch.from_numpy(image) for image in pixels]
        arrays: tuple[Any, Any] = pixels, boxes
        if gpu:
            import cupy

            tensors = [tensor.cuda() for tensor in tensors]
            arrays = [cupy.asarray(image) for image in pixels], cupy.asarray(boxes)
        published = partial(looped_crops, tensors, boxes.tolist())
        ours = partial(crop_resize, *arrays, SIDE, MEAN, STD)
        rows.append(row(name, best_ms([published, ours], gpu)))
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time views and crops.")
    parser.add_argument("-o", "--output", type=Path, help="write the tables to this file")
    output = parser.parse_args().output
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: a worker has one thread, and so have all sides here")
    torch.set_num_threads(1)
    lines = ["# Views and crops", "", METHOD, "", provenance("numpy", "pillow", "torch", "torchvision"), ""]
    lines += [view_table(), crops_table(gpu=False)]
    if torch.cuda.is_available():
        lines.append(crops_table(gpu=True))
    text = "\n".join(lines)
    print(text, end="")
    if output:
        output.write_text(text)


if __name__ == "__main__":
    main()
