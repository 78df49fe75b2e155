"""Train a small detector in minutes on a CPU, from images made on the spot, to a bundle that scans files.

pip install 'assay[train]'
python examples/train.py build/example           # some minutes; --images and --epochs make it shorter

"Photographs" are smooth light with sensor noise; "synthetic" images are the same without noise, enlarged
from half the size. Real data sets are laid out in the same way: DATA/train and DATA/val, in each 0_real
and 1_fake.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ASSAY = Path(sys.executable).with_name("assay")
SIDE = 96


def scene(random: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) float64: light that varies smoothly."""
    y, x = np.mgrid[0:side, 0:side] / side
    light = np.full((side, side, 3), 128.0)
    for _ in range(5):
        direction, phase = random.normal(0, 9, 2), random.uniform(0, 6.3, 3)
        light += 25 * np.sin(direction[0] * y[..., None] + direction[1] * x[..., None] + phase)
    return light


def photograph(random: np.random.Generator) -> Image.Image:
    light = scene(random, SIDE)
    return Image.fromarray(np.clip(light + random.normal(0, 8, light.shape), 0, 255).astype(np.uint8))


def synthetic(random: np.random.Generator) -> Image.Image:
    light = np.clip(scene(random, SIDE // 2), 0, 255).astype(np.uint8)
    return Image.fromarray(light).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def make_images(data: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for split, number in (("train", count), ("val", max(20, count // 4))):
        for name, make in (("0_real", photograph), ("1_fake", synthetic)):
            folder = data / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(number):
                make(random).save(folder / f"{index:04}.png")


def assay(*arguments: object) -> None:
    print("assay", *arguments, flush=True)
    subprocess.run([ASSAY, *map(str, arguments)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=400, help="of each class, to train on")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    data, run, bundle = (options.folder / name for name in ("data", "run", "bundle"))
    make_images(data, options.images)
    network = ("--backbone", "patch_forensics", "--size", 64, "--recipe", "none")
    schedule = ("--epochs", options.epochs, "--lr", 1e-3, "--batch", 16, "--workers", 0)
    assay("train", "plain", "--data", data, "--out", run, *network, *schedule)
    assay("export", run, bundle, "--name", "example")
    assay("calibrate", bundle, "--data", data)
    assay("evaluate", bundle, "--data", data, "--split", "val")
    assay("scan", data / "val", "--bundle", bundle, "--report", options.folder / "report.html")


if __name__ == "__main__":
    main()
