"""The manifest of a benchmark: one CSV row a file, saying what the file is and how it came about."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

Label = Literal["real", "fake"]
Split = Literal["train", "val", "test-1", "test-2", "test-3"]
View = Literal["crop", "whole", "face"]

FILE_NAME = "manifest.csv"


class ManifestError(ValueError):
    """A manifest that cannot be read as one."""


@dataclass(frozen=True)
class Record:
    """One file of the benchmark.

    `pair` names the real view that a synthetic image was made from: its real file and its synthetic images
    share content, size, format and quality. `photo` is the photograph's id (empty for a synthetic image made
    from none), `family` the generator's name (empty for a real file), `scale` the factor that the photograph
    was reduced by, `quality` the JPEG quality of the file (None: stored losslessly), width and height are in
    pixels.
    """

    path: str
    label: Label
    split: Split
    view: View
    pair: str
    photo: str
    source: str
    family: str
    scale: float
    quality: int | None
    width: int
    height: int


_COLUMNS = [field.name for field in fields(Record)]


def write(records: Iterable[Record], folder: Path) -> Path:
    """Writes `folder/manifest.csv`, sorted by path, in one step: a reader never sees half of it."""
    target, scratch = folder / FILE_NAME, folder / f".{FILE_NAME}.{os.getpid()}"
    with scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in sorted(records, key=lambda record: record.path))
    scratch.replace(target)
    return target


def read(folder: Path) -> list[Record]:
    """The records of `folder/manifest.csv`; paths are relative to `folder`.

    Raises ManifestError, naming the line, for a missing file, missing columns or a value of the wrong type.
    """
    path = folder / FILE_NAME
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = set(_COLUMNS) - set(rows.fieldnames or ())
            if missing:
                raise ManifestError(f"{path}: the columns {', '.join(sorted(missing))} are missing")
            return [_record(row, f"{path}, line {number}") for number, row in enumerate(rows, start=2)]
    except FileNotFoundError:
        raise ManifestError(f"{folder} holds no {FILE_NAME}: build one with `assay data {folder}`") from None


def _record(row: dict[str, str], where: str) -> Record:
    for column, allowed in (("label", get_args(Label)), ("split", get_args(Split)), ("view", get_args(View))):
        if row[column] not in allowed:
            raise ManifestError(f"{where}: {column} is {row[column]!r}, not one of {', '.join(allowed)}")
    try:
        return Record(
            path=row["path"],
            label=row["label"],  # type: ignore[arg-type]
            split=row["split"],  # type: ignore[arg-type]
            view=row["view"],  # type: ignore[arg-type]
            pair=row["pair"],
            photo=row["photo"],
            source=row["source"],
            family=row["family"],
            scale=float(row["scale"]),
            quality=int(row["quality"]) if row["quality"] else None,
            width=int(row["width"]),
            height=int(row["height"]),
        )
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: {error}") from error
