"""DiffusionForensics' layout: one folder of photographs, shared by the folders of generators beside it.

{images,recons,dire}/{train,val,test}/{lsun_bedroom,imagenet,celebahq}/{real,adm,ddpm,...}/: a scene holds
`real` and, under its own name, each generator. What lies in `recons` and `dire` was computed from `images`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from assay.trainers.data.walk import Folder, walk

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
    tree = {folder.path: folder for folder in walk(root)}
    return frozenset(path for path in tree if _is_scene(path, tree, class_folders))


def _is_scene(path: Path, tree: Mapping[Path, Folder], class_folders: Collection[str]) -> bool:
    if path / REAL not in tree[path].folders:
        return False
    generators = [folder for folder in tree[path].folders if folder.name != REAL]
    return bool(generators) and not any(_holds_class(folder, tree, class_folders) for folder in generators)


def _holds_class(path: Path, tree: Mapping[Path, Folder], class_folders: Collection[str]) -> bool:
    """Whether a folder or one below it is named like a class."""
    below = tree[path].folders if path in tree else []
    return path.name in class_folders or any(_holds_class(folder, tree, class_folders) for folder in below)
