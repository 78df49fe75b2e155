"""Where a report goes: report.md, .html and .json, plots as PNG, tables as CSV, and every image's score."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from assay.engine.errors import SetupError
from assay.engine.outcome import Doubt
from assay.trainers.evaluate.content import sections
from assay.trainers.evaluate.judge import Case
from assay.trainers.evaluate.markdown import markdown
from assay.trainers.evaluate.metrics import Evaluation, Row
from assay.trainers.evaluate.page import page
from assay.trainers.evaluate.plots import plots
from assay.trainers.evaluate.result import AtLevel, Report

TABLES = {"pools": "pools", "generators": "by_generator", "sources": "by_source", "sizes": "sizes"}
"""CSV tables of rows, and the field of a result that holds them."""


def open_folder(folder: Path) -> None:
    """Makes the folder of a report. Raises SetupError where it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").touch()
    except OSError as error:
        raise SetupError(f"--out {folder} cannot be written to: {error.strerror or error}") from None


def write_report(report: Report, cases: Sequence[Case], folder: Path) -> None:
    """Writes all of it; refused.txt only where files were refused. CSV begins with bundle and treatment."""
    pictures = dict(plots(report))
    content = sections(report)
    (folder / "report.md").write_text(markdown(content), "utf-8")
    (folder / "report.html").write_text(page(content, pictures), "utf-8")
    (folder / "report.json").write_text(report.model_dump_json(by_alias=True, indent=1) + "\n", "utf-8")
    for name, data in pictures.items():
        (folder / f"{name}.png").write_bytes(data)
    names = [field.name for field in fields(Row)]
    for name, field in TABLES.items():
        rows = (
            [one.bundle, one.treatment, *(getattr(row, key) for key in names)]
            for one in report.results
            for row in getattr(one, field)
        )
        _write_csv(folder / f"{name}.csv", ["bundle", "treatment", *names], rows)
    _write_sweeps(report, folder)
    _write_doubts(report, folder)
    _write_scores(cases, folder)
    lines = dict.fromkeys(path for case in cases for path in case.evaluation.scored.unreadable)
    if lines:
        (folder / "refused.txt").write_text("".join(f"{path}\n" for path in lines), "utf-8")


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """What a manifest's `metrics` records: by pool, average precision and the shares of labels.

    The average precision of a pool is the mean over its generators, that of `all` is of all images together.
    """
    keys = {
        "photos": "photographs",
        "fakes": "synthetic",
        "average_precision": "average_precision",
        "photos_synthetic": "false_alarms",
        "fakes_synthetic": "caught",
    }
    pools = [replace(row, average_precision=row.mean_average_precision) for row in evaluation.by_pool()]
    return {
        row.pool: {key: _rounded(getattr(row, field)) for key, field in keys.items()}
        for row in [*pools, evaluation.overall()]
    }


def _write_sweeps(report: Report, folder: Path) -> None:
    keys = list(AtLevel.model_fields)
    rows = [
        [one.bundle, one.treatment, *(getattr(at, key) for key in keys)]
        for one in report.results
        for at in one.sweeps
    ]
    if rows:
        _write_csv(folder / "sweeps.csv", ["bundle", "treatment", *keys], rows)


def _write_doubts(report: Report, folder: Path) -> None:
    """Where a bundle has any beside that of the thresholds."""
    if all(set(row.doubts) <= {Doubt.BETWEEN_THRESHOLDS} for one in report.results for row in one.doubted):
        return
    rows = (
        [one.bundle, one.treatment, row.label, row.name, row.images, row.uncertain]
        + [row.doubts.get(doubt, 0.0) for doubt in Doubt]
        for one in report.results
        for row in one.doubted
    )
    header = ["bundle", "treatment", "label", "name", "images", "uncertain", *Doubt]
    _write_csv(folder / "doubts.csv", header, rows)


def _write_scores(cases: Sequence[Case], folder: Path) -> None:
    header = [
        "bundle",
        "treatment",
        "path",
        "pool",
        "group",
        "label",
        "side",
        "logit",
        "probability",
        "verdict",
        "doubts",
    ]
    rows = (
        [case.name, case.treatment.name, sample.path, sample.pool, sample.group, sample.label, *values]
        for case in cases
        for sample, *values in zip(
            case.evaluation.scored.samples,
            case.evaluation.scored.sides.tolist(),
            case.evaluation.scored.logits.tolist(),
            case.evaluation.probabilities.tolist(),
            case.evaluation.labels(),
            (" ".join(doubts) for _, doubts in case.evaluation.verdicts),
            strict=True,
        )
    )
    _write_csv(folder / "scores.csv", header, rows)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
