"""What a data set holds: labelled image files, and which generator or photo source each came from.

Two forms are read. A folder tree names its classes by folder: `0_real`, `real`, `nature` against `1_fake`,
`fake`, `ai`, at any depth. Names decide, never the alphabet: GenImage's `ai` sorts before `nature`, the
opposite of CNNDetection's `0_real` and `1_fake`. Where `real` stands beside folders of other names alone, as
in DiffusionForensics, these are generators. A benchmark folder has a `manifest.csv` that says
it all. The face paper's data sets have forms of their own, see `faces`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from PIL import Image

from assay.engine.errors import SetupError
from assay.trainers.data import faces, manifest
from assay.trainers.data.only import only as kept_only
from assay.trainers.data.scenes import find_scenes, images_of
from assay.trainers.data.walk import walk

REAL_FOLDERS = frozenset({"0_real", "real", "nature"})
SYNTHETIC_FOLDERS = frozenset({"1_fake", "fake", "ai"})
_CLASS_FOLDERS = REAL_FOLDERS | SYNTHETIC_FOLDERS
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "dev": "val", "test": "test"}


Balance: TypeAlias = Literal["generators", "sources"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image file.

    label: 0 for a photograph, 1 for a synthetic image.
    split: `train`, `val`, `test` or `test-...`; empty where the data set is not split.
    group: a synthetic image's generator, a photograph's source; of a tree without sources, their folder.
    pool: a generator's images are compared with the photographs of the same pool.
    pair: what a photograph and the synthetic images made of it share; empty where that is not known.
    side: the shorter side in pixels; 0 where that is not known without opening the file.
    """

    path: Path
    label: int
    split: str
    group: str
    pool: str
    pair: str = ""
    side: int = 0


def read_samples(root: Path, min_side: int = 0, only: Sequence[str] = ()) -> list[Sample]:
    """All samples below `root`, sorted by path: of its `manifest.csv`, or else of its folder tree.

    `only` names generators and scenes, if not all is wanted: see `only`. Images with a shorter side below
    `min_side` pixels are left out; only to learn that of a tree are files opened, and those whose size cannot
    be read stay. Raises SetupError where no image is left.
    """
    if not root.is_dir():
        raise SetupError(f"{root} is not a folder")
    samples = (
        _of_manifest(root) if (root / manifest.FILE_NAME).is_file() else _of_faces(root) or _of_tree(root)
    )
    if not samples:
        folders = ", ".join(sorted(REAL_FOLDERS | SYNTHETIC_FOLDERS))
        raise SetupError(f"no images in {root}: it needs a {manifest.FILE_NAME}, or folders named {folders}")
    samples = kept_only(samples, root, only)
    if min_side:
        samples = [sample for sample in samples if (sample.side or _stored_side(sample.path)) >= min_side]
        if not samples:
            raise SetupError(f"no image in {root} has a shorter side of {min_side} pixels or more")
    return sorted(samples, key=lambda sample: sample.path)


def of_split(samples: Sequence[Sample], *splits: str) -> list[Sample]:
    """The samples of these splits. Raises SetupError naming the splits there are where none is in them."""
    chosen = [sample for sample in samples if sample.split in splits]
    if not chosen:
        there = ", ".join(sorted({sample.split for sample in samples} - {""}))
        known = f"the splits of this data: {there}" if there else "it has no folders named train or val"
        raise SetupError(f"no images in split {' or '.join(splits)}; {known}")
    return chosen


def of_scene(samples: Sequence[Sample], scene: str) -> list[Sample]:
    """The samples of a scene of DiffusionForensics. Raises SetupError naming those that are there."""
    chosen = [sample for sample in samples if sample.pool == scene]
    if not chosen:
        there = ", ".join(sorted({sample.pool for sample in samples}))
        raise SetupError(f"no images of scene {scene}; there are {there}")
    return chosen


def _of_manifest(root: Path) -> list[Sample]:
    try:
        records = manifest.read(root)
    except manifest.ManifestError as error:
        raise SetupError(str(error)) from None
    return [
        Sample(
            path=root / record.path,
            label=int(record.label == "fake"),
            split=record.split,
            group=record.family or record.source,
            pool=f"{record.split}/{record.view}",
            pair=record.pair,
            side=min(record.width, record.height),
        )
        for record in records
    ]


def _of_faces(root: Path) -> list[Sample]:
    return [
        Sample(face.path, face.label, face.split, face.group, pool=f"{face.split}/faces")
        for face in faces.listed(root) or faces.nested(root)
    ]


def _of_tree(root: Path) -> list[Sample]:
    root = images_of(root)
    scenes = find_scenes(root, _CLASS_FOLDERS)
    samples = []
    for path in (path for folder in walk(root) for path in folder.files):
        if path.name.startswith("."):
            continue
        folders = path.relative_to(root).parts[:-1]
        split = next((SPLIT_FOLDERS[name] for name in folders if name in SPLIT_FOLDERS), "")
        scene = next((folder for folder in path.parents if folder in scenes), None)
        if scene is not None:
            own = path.relative_to(scene).parts
            if len(own) > 1:
                real = own[0] in REAL_FOLDERS
                samples.append(Sample(path, int(not real), split, scene.name if real else own[0], scene.name))
            continue
        label = _label(folders)
        if label is not None:
            names = [name for name in folders if name not in SPLIT_FOLDERS and name not in _CLASS_FOLDERS]
            group = names[0] if names else root.name
            samples.append(Sample(path, label, split, group, pool=group))
    return samples


def _stored_side(path: Path) -> float:
    """The shorter side that the header of a file gives; infinite where there is no such header."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return math.inf  # the reader of pixels will say what is wrong with it


def _label(folders: Sequence[str]) -> int | None:
    for name in reversed(folders):
        if name in _CLASS_FOLDERS:
            return int(name in SYNTHETIC_FOLDERS)
    return None
