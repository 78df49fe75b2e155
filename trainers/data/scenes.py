"""DiffusionForensics' layout: one folder of photographs, shared by the folders of generators beside it.

{images,recons,dire}/{train,val,test}/{lsun_bedroom,imagenet,celebahq}/{real,adm,ddpm,...}/: a scene holds
`real` and, under its own name, each generator. What lies in `recons` and `dire` was computed from `images`.
"""

from collections.abc import Collection
from pathlib import Path

REAL = "real"
IMAGES, COMPUTED = "images", ("recons", "dire")


def images_of(root: Path) -> Path:
    """`root`, or the `images` in it where what was computed from them stands beside."""
    beside = (root / IMAGES).is_dir() and any((root / name).is_dir() for name in COMPUTED)
    return root / IMAGES if beside else root


def find_scenes(root: Path, class_folders: Collection[str]) -> frozenset[Path]:
    """The folders in or below `root` that hold `real` and generators under their own names.

    A folder with another class, or with classes further down, is none: of the `class_folders` some stand
    beside or below `real`'s neighbours there.
    """
    found = [real.parent for real in root.rglob(REAL) if real.is_dir()]
    return frozenset(folder for folder in found if _is_scene(folder, class_folders))


def _is_scene(folder: Path, class_folders: Collection[str]) -> bool:
    generators = [path for path in folder.iterdir() if path.is_dir() and path.name != REAL]
    below = (path.name for generator in generators for path in (generator, *generator.rglob("*/")))
    return bool(generators) and not any(name in class_folders for name in below)
