"""How well each method detects by the shorter side of the images, which no table of the papers has."""

import math
from collections.abc import Iterable

from assay.engine.bundle import Calibration, Thresholds
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scored

HEADER = ("method", "shorter side", "photographs", "synthetic", "mean AP", "AP", "AUC")
_UNUSED = Thresholds(synthetic=1, authentic=0)


def records(methods: Iterable[tuple[str, Scored]]) -> list[list[object]]:
    """A header, then for each method a row a size and one for all its images.

    The figures are those of `metrics.Row` in percent; empty where there is nothing to take one of.
    """
    rows: list[list[object]] = [[*HEADER]]
    for method, scored in methods:
        evaluation = Evaluation(scored, Calibration(), _UNUSED)
        for row in [*evaluation.by_size(), evaluation.overall()]:
            figures = (row.mean_average_precision, row.average_precision, row.auc)
            percent = ("" if math.isnan(figure) else 100 * figure for figure in figures)
            rows.append([method, row.name, row.photographs, row.synthetic, *percent])
    return rows
