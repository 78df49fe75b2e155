"""Small made-up images on disk, and a tree of them with the layout of the public data sets."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter


def scene(rng: np.random.Generator, height: int, width: int, synthetic: bool = False) -> NDArray[np.uint8]:
    """Coloured blobs with fine grain; a synthetic one is doubled pixel by pixel, as upsampling does."""
    if synthetic:
        small = scene(rng, -(-height // 2), -(-width // 2))
        return small.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    blobs = gaussian_filter(rng.normal(0, 1, (height, width, 3)), (6, 6, 0))
    values = 128 + 60 * blobs / blobs.std() + rng.normal(0, 8, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def write_tree(root: Path, counts: dict[str, int], side: int = 48, seed: int = 0) -> Path:
    """PNG scenes: `counts` images in each folder, synthetic where the folder's last name says so."""
    rng = np.random.default_rng(seed)
    for folder, count in counts.items():
        target = root / folder
        target.mkdir(parents=True)
        for number in range(count):
            pixels = scene(rng, side, side, target.name in ("1_fake", "fake", "ai"))
            Image.fromarray(pixels).save(target / f"{number}.png")
    return root
