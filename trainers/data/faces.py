"""The data sets of the face paper, told by what lies in them.

"140k Real and Fake Faces": train.csv, valid.csv and test.csv beside real_vs_fake/real-vs-fake/ with
{train,valid,test}/{real,fake}/. Their column `label` is 1 for REAL; `label_str` says which by name, and is
what counts. Flickr-Faces-HQ beside 1-Million-Fake-Faces: images1024x1024/ (or thumbnails128x128/) of numbered
photographs and 1m_faces_00/ to 1m_faces_03/ of images by StyleGAN, at any depth.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from assay.engine.errors import SetupError
from assay.trainers.data.walk import walk

LISTS = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
IMAGES = ("", "real_vs_fake/real-vs-fake", "real-vs-fake")
"""Where the paths of the lists begin, from the folder that the lists lie in."""
LABELS = {"real": 0, "fake": 1}
FFHQ = ("images1024x1024", "thumbnails128x128", "in-the-wild-images")
"""The same photographs in three forms; the first that is there counts."""
SYNTHETIC = re.compile(r"1m_faces_\d\d")
TRAINING, VALIDATION = 50_000, 60_000
"""Where the numbers of Flickr-Faces-HQ's photographs for training end, and those for validation."""
SHARES = {0: "val", 1: "test"}
"""Splits of synthetic images by the remainder of their names' checksum divided by seven; else `train`."""


@dataclass(frozen=True, slots=True)
class Face:
    """A file, 0 for a photograph or 1, its split, and its source or generator."""

    path: Path
    label: int
    split: str
    group: str


def listed(root: Path) -> list[Face]:
    """What the lists of "140k Real and Fake Faces" in `root` name; nothing where there is none of them.

    Raises SetupError where a list contradicts itself or its first file is not there.
    """
    faces: list[Face] = []
    for name, split in LISTS.items():
        if _is_list(root / name):
            faces += _of_list(root / name, split)
    return faces


def nested(root: Path) -> list[Face]:
    """Flickr-Faces-HQ and 1-Million-Fake-Faces below `root`; nothing unless both are there.

    Each class is split 5 : 1 : 1 for training, validation and test, as in the face paper, and always alike: a
    photograph's split follows from its number, a synthetic image's from its name.
    """
    folders = [
        folder
        for folder in (found.path for found in walk(root))
        if folder.name in FFHQ or SYNTHETIC.fullmatch(folder.name)
    ]
    form = next((form for form in FFHQ if any(folder.name == form for folder in folders)), None)
    # Unpacked, 1m_faces_00 may hold another 1m_faces_00.
    synthetic = {path for folder in folders if folder.name not in FFHQ for path in _files(folder)}
    if form is None or not synthetic:
        return []
    photos = {path for folder in folders if folder.name == form for path in _files(folder)}
    numbered = [path for path in photos if path.stem.isdecimal()]
    return [
        *(Face(path, 0, _split_of(int(path.stem)), "ffhq") for path in numbered),
        *(
            Face(path, 1, SHARES.get(crc32(path.name.encode()) % 7, "train"), "stylegan")
            for path in synthetic
        ),
    ]


def _split_of(number: int) -> str:
    return "train" if number < TRAINING else "val" if number < VALIDATION else "test"


def _is_list(file: Path) -> bool:
    try:
        with file.open(newline="", encoding="utf-8") as content:
            return {"path", "label", "label_str"} <= set(next(csv.reader(content), []))
    except (OSError, UnicodeDecodeError):
        return False


def _of_list(file: Path, split: str) -> list[Face]:
    with file.open(newline="", encoding="utf-8") as content:
        rows = list(csv.DictReader(content))
    if not rows:
        return []
    base = next((base for base in IMAGES if (file.parent / base / rows[0]["path"]).is_file()), None)
    if base is None:
        raise SetupError(f"{file}: {rows[0]['path']} is neither in {file.parent} nor in {IMAGES[1]} there")
    faces = []
    for number, row in enumerate(rows, start=2):
        label = LABELS.get(row["label_str"])
        if label is None or row["label"] != str(1 - label):
            raise SetupError(
                f"{file}, line {number}: label {row['label']} and label_str {row['label_str']!r} are not "
                "1 and 'real', nor 0 and 'fake'"
            )
        group = "ffhq" if label == 0 else "stylegan"
        faces.append(Face(file.parent / base / row["path"], label, split, group))
    return faces


def _files(folder: Path) -> list[Path]:
    return [path for found in walk(folder) for path in found.files if not path.name.startswith(".")]
