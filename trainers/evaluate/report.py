"""Evaluation as people read it: Markdown tables, the same tables as CSV, and every image's score."""

import csv
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from assay.trainers.evaluate.metrics import Judged, Row

_TITLES = {
    "photos": "photographs",
    "fakes": "synthesised",
    "mean_average_precision": "mean AP",
    "average_precision": "AP",
    "auc": "AUC",
    "photo_accuracy": "photo acc.",
    "fake_accuracy": "synth. acc.",
    "photos_synthetic": "false alarms",
    "photos_uncertain": "photos uncertain",
    "fakes_synthetic": "caught",
    "fakes_uncertain": "synth. uncertain",
    "fakes_authentic": "missed",
}


def tables(judged: Judged) -> dict[str, list[Row]]:
    """The tables of an evaluation by name."""
    return {
        "pools": [*judged.by_pool(), judged.overall()],
        "generators": judged.by_generator(),
        "sources": judged.by_source(),
        "sizes": judged.by_size(),
    }


def markdown(judged: Judged) -> str:
    """All tables, with how the columns are to be read."""
    unreadable = len(judged.scored.unreadable)
    text = (
        "AP: average precision, AUC: area under the ROC curve, of all images of a row together; mean AP: the "
        "mean over its generators, each against the photographs of its pool. Accuracies at probability 0.5. "
        "False alarms: photographs labelled synthetic; caught: synthesised images labelled synthetic; "
        "missed: labelled authentic; all as shares.\n"
    )
    for name, rows in tables(judged).items():
        text += f"\n### {name}\n\n{_table(rows)}"
    return text + (f"\n{unreadable} files were refused and left out.\n" if unreadable else "")


def write_report(judged: Judged, folder: Path) -> None:
    """Writes report.md, one CSV a table, scores.csv, and refused.txt where files were refused."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(markdown(judged), "utf-8")
    names = [field.name for field in fields(Row)]
    for name, rows in tables(judged).items():
        _write_csv(folder / f"{name}.csv", names, [[getattr(row, key) for key in names] for row in rows])
    scored = judged.scored
    _write_csv(
        folder / "scores.csv",
        ["path", "pool", "group", "label", "side", "logit", "probability"],
        [
            [sample.path, sample.pool, sample.group, sample.label, side, logit, probability]
            for sample, side, logit, probability in zip(
                scored.samples,
                scored.sides.tolist(),
                scored.logits.tolist(),
                judged.probabilities.tolist(),
                strict=True,
            )
        ],
    )
    if scored.unreadable:
        (folder / "refused.txt").write_text("".join(f"{path}\n" for path in scored.unreadable), "utf-8")


def figures(judged: Judged) -> dict[str, Any]:
    """What a manifest's `metrics` records: by pool, average precision and the shares of labels.

    The average precision of a pool is the mean over its generators, that of `all` is of all images together.
    """
    keys = ("photos", "fakes", "average_precision", "photos_synthetic", "fakes_synthetic")
    pools = [replace(row, average_precision=row.mean_average_precision) for row in judged.by_pool()]
    return {
        row.pool: {key: _rounded(getattr(row, key)) for key in keys} for row in [*pools, judged.overall()]
    }


def _table(rows: Sequence[Row]) -> str:
    shown = [
        field.name
        for field in fields(Row)
        if not all(isinstance(value := getattr(row, field.name), float) and math.isnan(value) for row in rows)
    ]
    lines = [
        [_TITLES.get(name, name) for name in shown],
        ["---"] * 2 + ["--:"] * (len(shown) - 2),
        *([_cell(getattr(row, name)) for name in shown] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
