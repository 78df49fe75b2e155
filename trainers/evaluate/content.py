"""What a report says, in order, for Markdown and HTML: sections of a few sentences, a table, a picture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from assay.engine.outcome import Doubt
from assay.trainers.evaluate.intervals import Interval
from assay.trainers.evaluate.metrics import Row
from assay.trainers.evaluate.result import Report, Result
from assay.trainers.evaluate.spread import LEAST, Spread

Cells = list[str]

_TITLES = {
    "mean_average_precision": "mean AP",
    "average_precision": "AP",
    "auc": "AUC",
    "photograph_accuracy": "photographs right at 0.5",
    "synthetic_accuracy": "synthetic right at 0.5",
}


@dataclass(frozen=True)
class Section:
    """`table` begins with its header and may be missing; `picture` is the name of a plot."""

    title: str
    text: str = ""
    table: Sequence[Cells] = ()
    picture: str = ""


def sections(report: Report) -> list[Section]:
    """All of a report; what only one bundle under one treatment has is not said in every row."""
    return [
        Section("Images", _head(report)),
        *_stored(report),
        _ranking(report),
        _labels(report),
        _probabilities(report),
        *_doubts(report),
        *(
            Section(title, text, _rows(report, rows))
            for title, text, rows in (
                *([("Pools", "", _pools)] if any(map(_shared, report.results)) else []),
                (
                    "Generators",
                    "Each against the photographs of its pool, or all where it has none.",
                    _generators,
                ),
                ("Sources of photographs", "", lambda one: one.by_source),
                ("Sizes", "By the shorter side.", lambda one: one.sizes),
            )
        ),
        *_sweeps(report),
        Section("ROC", "Scores, whatever the thresholds.", picture="roc"),
        Section("Reliability", "On the diagonal a probability means what it says.", picture="reliability"),
        Section("Risk and coverage", "The dots are what is not labelled uncertain.", picture="risk_coverage"),
    ]


def _shared(one: Result) -> bool:
    """Whether pools are more than the generators and the sources, each by itself."""
    return len(one.pools) - 1 < len(one.by_generator) + len(one.by_source)


def _pools(one: Result) -> Sequence[Row]:
    return one.pools


def _generators(one: Result) -> Sequence[Row]:
    return one.by_generator


def _head(report: Report) -> str:
    parts = [f"Data: {report.data}, splits: {', '.join(split or 'all' for split in report.splits)}."]
    if report.min_side:
        parts.append(f"Only images with a shorter side of {report.min_side} pixels and more.")
    counts = {(one.overall.photographs, one.overall.synthetic) for one in report.results}
    if len(counts) > 1:
        parts.append(
            "The bundles refuse different files, so their figures are not of the same images: --min-side "
            "makes them so."
        )
    refused = [
        f"{one.bundle}: {one.refused} files were refused and left out."
        for one in report.results
        if one.refused
    ]
    return " ".join([*parts, *dict.fromkeys(refused)])


def _stored(report: Report) -> list[Section]:
    """What format alone gives away, which every figure below has to be held against."""
    return [Section(f"Files {one.treatment}", f"{one.rule} {one.sentence}") for one in report.stored]


def _ranking(report: Report) -> Section:
    header = [
        "photographs",
        "synthetic",
        "AUC",
        "AP",
        "AUC of generators, mean",
        "least",
        "AP, mean",
        "least",
    ]
    lines = [
        [
            str(one.overall.photographs),
            str(one.overall.synthetic),
            _between(one.overall.auc, one.intervals["auc"]),
            _between(one.overall.average_precision, one.intervals["average_precision"]),
            *_spread(one.generators["auc"]),
            *_spread(one.generators["average_precision"]),
        ]
        for one in report.results
    ]
    text = (
        "AUC: area under the ROC curve, AP: average precision, of all images together with 95 % intervals "
        "(bootstrap within each class), then over generators each against the photographs of its pool. Means "
        f"and worst are of generators and sources with {LEAST} images and more. Intervals speak of other "
        "images of the same generators and sources, not of others."
    )
    return Section("Ranking", text, _cased(report, header, lines))


def _labels(report: Report) -> Section:
    header = [
        "accuracy", "false alarms", "sources, mean", "worst", "caught", "generators, mean", "least",
        "called authentic", "photographs uncertain", "synthetic uncertain",
    ]  # fmt: skip
    lines = [
        [
            _cell(one.overall.accuracy),
            _between(one.overall.false_alarms, one.intervals["false_alarms"]),
            *_spread(one.sources["false_alarms"]),
            _between(one.overall.caught, one.intervals["caught"]),
            *_spread(one.generators["caught"]),
            _cell(one.overall.called_authentic),
            _cell(one.overall.photographs_uncertain),
            _cell(one.overall.synthetic_uncertain),
        ]
        for one in report.results
    ]
    text = (
        "At the served thresholds. False alarms: photographs labelled synthetic; caught: synthetic images "
        "labelled synthetic; called authentic: of the synthetic images; accuracy: the share on its side of "
        "the threshold of synthetic, photographs and synthetic images weighing the same. Intervals: Wilson's."
    )
    return Section("Labels", text, _cased(report, header, lines))


def _probabilities(report: Report) -> Section:
    header = ["ECE", "AURC", "labelled", "wrong of these", "calibration"]
    lines = [
        [
            _cell(one.calibration_error),
            _cell(one.aurc),
            _cell(one.decided.coverage),
            _cell(one.decided.risk),
            one.calibration.method,
        ]
        for one in report.results
    ]
    text = (
        "ECE: expected calibration error in 15 bins; AURC: area under the risk-coverage curve; labelled: "
        "what is not uncertain. Photographs and synthetic images weigh the same."
    )
    return Section("Probabilities", text, _cased(report, header, lines))


def _doubts(report: Report) -> list[Section]:
    """What doubts are worth, and whose images they fall on; nothing where no bundle has any."""
    between = Doubt.BETWEEN_THRESHOLDS.value
    there = {doubt for one in report.results for row in one.doubted for doubt in row.doubts}
    if not there - {between}:
        return []
    header = ["labelled", "wrong of these", "by thresholds alone", "wrong of these"]
    lines = [
        [_cell(value) for pair in (one.decided, one.by_thresholds) for value in (pair.coverage, pair.risk)]
        for one in report.results
    ]
    text = (
        "Labelled with doubts and without, photographs and synthetic images weighing the same; then the "
        "share that is uncertain, and that of each doubt. An image may have several."
    )
    columns, shown = _columns(report), [doubt.value for doubt in Doubt if doubt.value in there]
    rows = [
        [*_names(one, columns), row.label, row.name, str(row.images), _cell(row.uncertain)]
        + [_cell(row.doubts.get(doubt, 0.0)) for doubt in shown]
        for one in report.results
        for row in one.doubted
    ]
    names = ["class", "name", "images", "uncertain", *(doubt.replace("_", " ") for doubt in shown)]
    return [
        Section("Doubts", text, _cased(report, header, lines)),
        Section("Doubts by source and generator", "", [[*columns, *names], *rows]),
    ]


def _rows(report: Report, rows: Callable[[Result], Sequence[Row]]) -> list[Cells]:
    everything = [row for one in report.results for row in rows(one)]
    shown = [
        field.name
        for field in fields(Row)
        if not all(
            isinstance(value := getattr(row, field.name), float) and math.isnan(value) for row in everything
        )
    ]
    header = [_TITLES.get(name, name.replace("_", " ")) for name in shown]
    columns = _columns(report)
    found = {  # the same group of all bundles one below the other
        (row.pool, row.name, place): [*_names(one, columns), *(_cell(getattr(row, name)) for name in shown)]
        for place, one in enumerate(report.results)
        for row in rows(one)
    }
    groups = {key[:2]: at for at, key in reversed(list(enumerate(found)))}
    ordered = sorted(found, key=lambda key: (groups[key[:2]], key[2]))
    return [[*columns, *header], *(found[key] for key in ordered)]


def _sweeps(report: Report) -> list[Section]:
    found, columns = [], _columns(report)
    for name in dict.fromkeys(at.sweep for at in report.results[0].sweeps):
        header = ["level", "images", "refused", "AUC", "false alarms", "caught", "called authentic"]
        lines = [
            [
                *_names(one, columns), at.level, str(at.images), str(at.refused), _cell(at.auc),
                _cell(at.false_alarms), _cell(at.caught), _cell(at.called_authentic),
            ]
            for one in report.results
            for at in one.sweeps
            if at.sweep == name
        ]  # fmt: skip
        found.append(Section(f"Sweep: {name}", "", [[*columns, *header], *lines], f"sweep_{name}"))
    return found


def _cased(report: Report, header: Cells, lines: Sequence[Cells]) -> list[Cells]:
    """A line a result, with its names in front."""
    named = [[one.bundle, one.treatment] for one in report.results]
    return [["bundle", "stored", *header], *([*name, *line] for name, line in zip(named, lines, strict=True))]


def _columns(report: Report) -> Cells:
    several = len({one.bundle for one in report.results}) > 1
    return [*(["bundle"] if several else []), *(["stored"] if len(report.stored) > 1 else [])]


def _names(one: Result, columns: Cells) -> Cells:
    by_column = {"bundle": one.bundle, "stored": one.treatment}
    return [by_column[column] for column in columns]


def _spread(found: Spread) -> Cells:
    worst = f"{_cell(found.worst)} ({found.name})" if found.groups else ""
    return [_cell(found.mean), worst]


def _between(value: float, interval: Interval) -> str:
    return "" if math.isnan(value) else f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    return str(value)
