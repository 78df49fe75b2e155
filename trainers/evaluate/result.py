"""The figures of an evaluation as one document: `report.json`, and what all tables and plots are made of.

Its JSON schema is `json_schema()`; a figure that has nothing to be taken of is null.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from sklearn.metrics import roc_curve

from assay.engine.bundle import Calibration, Thresholds
from assay.trainers.audit.audit import rules_of, strongest, told
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate import intervals, selective
from assay.trainers.evaluate.intervals import Interval
from assay.trainers.evaluate.judge import Case
from assay.trainers.evaluate.metrics import Doubted, Evaluation, Row
from assay.trainers.evaluate.reliability import Bin, calibration_error, reliability
from assay.trainers.evaluate.selective import Decided
from assay.trainers.evaluate.spread import Spread, spread
from assay.trainers.evaluate.treatment import Treatment

SCHEMA = 1
POINTS = 200
"""Largest number of points that a stored curve has."""

Points = list[tuple[float, float]]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stored(_Record):
    """How the images were stored: a treatment, and the single rule on format, size and JPEG quality that best
    separates the classes of exactly these files, with its balanced accuracy."""

    treatment: str
    rule: str
    told_by: str
    told_accuracy: float
    sentence: str


class AtLevel(_Record):
    """All images at a level of a sweep; a level `unchanged` stands first."""

    sweep: str
    across: str
    level: str
    strength: float | None
    images: int
    refused: int
    auc: float
    false_alarms: float
    caught: float
    called_authentic: float


class Result(_Record):
    """One bundle under one treatment."""

    bundle: str
    version: str
    kind: str
    precision: str
    treatment: str
    thresholds: Thresholds
    calibration: Calibration
    refused: int = Field(description="Files that the engine refuses, too small ones included.")
    overall: Row
    intervals: dict[str, Interval] = Field(description="95 %, of figures of `overall` by name.")
    generators: dict[str, Spread] = Field(description="Figures over generators; the worst is the least.")
    sources: dict[str, Spread] = Field(description="Figures over sources of photographs; worst: the largest.")
    calibration_error: float = Field(description="ECE, in 15 bins of equal width.")
    reliability: list[Bin]
    aurc: float = Field(description="Area under the risk-coverage curve.")
    decided: Decided = Field(description="Coverage and risk of what is not labelled uncertain.")
    by_thresholds: Decided = Field(description="The same if nothing were doubted.")
    doubted: list[Doubted] = Field(description="Shares uncertain, by doubt, of sources and generators.")
    risk_coverage: Points = Field(description="(coverage, risk), rising.")
    roc: Points = Field(description="(share of photographs, share of synthetic images) above a score.")
    sweeps: list[AtLevel]
    pools: list[Row]
    by_generator: list[Row]
    by_source: list[Row]
    sizes: list[Row]


class Report(_Record):
    """An evaluation of one bundle or several on the same files."""

    schema_: int = Field(SCHEMA, alias="schema")
    data: str
    splits: list[str]
    min_side: int
    stored: list[Stored]
    results: list[Result]


class _Nullable(GenerateJsonSchema):
    """NaN is written as null."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return super().float_schema(schema) | {"type": ["number", "null"]}


def json_schema() -> JsonSchemaValue:
    """The JSON schema of `report.json`."""
    return Report.model_json_schema(schema_generator=_Nullable, mode="serialization")


def stored(treatment: Treatment, samples: Sequence[Sample]) -> Stored:
    """What `samples`, as `treatment` leaves them, give away without their pixels."""
    rule = strongest(rules_of(treatment.outside(samples)))
    return Stored(
        treatment=treatment.name,
        rule=treatment.rule,
        told_by=rule.text,
        told_accuracy=rule.accuracy,
        sentence=told(rule),
    )


def result(case: Case) -> Result:
    """All figures of a case."""
    evaluation, manifest = case.evaluation, case.bundle.manifest
    labels, probabilities = evaluation.scored.labels, evaluation.probabilities
    overall, by_generator, by_source = evaluation.overall(), evaluation.by_generator(), evaluation.by_source()
    bins = reliability(labels, probabilities)
    curve = selective.risk_coverage(labels, probabilities)
    return Result(
        bundle=case.name,
        version=manifest.version,
        kind=manifest.kind,
        precision=case.precision,
        treatment=case.treatment.name,
        thresholds=manifest.thresholds,
        calibration=manifest.calibration,
        refused=len(evaluation.scored.unreadable),
        overall=overall,
        intervals=_intervals(evaluation, overall),
        generators={name: spread(by_generator, name) for name in ("auc", "average_precision", "caught")},
        sources={name: spread(by_source, name, max) for name in ("false_alarms", "photographs_uncertain")},
        calibration_error=calibration_error(bins),
        reliability=bins,
        aurc=selective.area(curve),
        decided=selective.decided(labels, evaluation.called_synthetic, evaluation.called_authentic),
        by_thresholds=_by_thresholds(evaluation, manifest.thresholds),
        doubted=evaluation.by_doubt(),
        risk_coverage=_thinned(curve.coverage, curve.risk),
        roc=_roc(evaluation),
        sweeps=_sweeps(case, overall),
        pools=[*evaluation.by_pool(), overall],
        by_generator=by_generator,
        by_source=by_source,
        sizes=evaluation.by_size(),
    )


def _by_thresholds(evaluation: Evaluation, thresholds: Thresholds) -> Decided:
    probabilities = evaluation.probabilities
    return selective.decided(
        evaluation.scored.labels,
        probabilities >= thresholds.synthetic,
        probabilities <= thresholds.authentic,
    )


def _intervals(evaluation: Evaluation, overall: Row) -> dict[str, Interval]:
    labels = evaluation.scored.labels
    return {
        **intervals.areas(labels, evaluation.scored.logits),
        "false_alarms": intervals.share(
            int(evaluation.called_synthetic[labels == 0].sum()), overall.photographs
        ),
        "caught": intervals.share(int(evaluation.called_synthetic[labels == 1].sum()), overall.synthetic),
    }


def _sweeps(case: Case, overall: Row) -> list[AtLevel]:
    found: list[AtLevel] = []
    unchanged = len(case.evaluation.scored.unreadable)
    for swept in case.swept:
        if not any(one.sweep == swept.sweep.name for one in found):
            found.append(_at(swept.sweep.name, swept.sweep.across, "unchanged", None, overall, unchanged))
        level = swept.level
        found.append(
            _at(swept.sweep.name, swept.sweep.across, level.name, level.strength, swept.row, swept.refused)
        )
    return found


def _at(sweep: str, across: str, level: str, strength: float | None, row: Row, refused: int) -> AtLevel:
    return AtLevel(
        sweep=sweep,
        across=across,
        level=level,
        strength=strength,
        images=row.photographs + row.synthetic,
        refused=refused,
        auc=row.auc,
        false_alarms=row.false_alarms,
        caught=row.caught,
        called_authentic=row.called_authentic,
    )


def _roc(evaluation: Evaluation) -> Points:
    labels = evaluation.scored.labels
    if len(np.unique(labels)) < 2:
        return []
    alarms, caught, _ = roc_curve(labels, evaluation.scored.logits)
    return _thinned(alarms, caught)


def _thinned(across: NDArray[np.float64], up: NDArray[np.float64]) -> Points:
    kept = np.unique(np.linspace(0, len(across) - 1, POINTS).round().astype(int))
    return list(zip(across[kept].tolist(), up[kept].tolist(), strict=True))
