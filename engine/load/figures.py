"""The plots of a way: title, how to read it, drawing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.engine.load.axis import linear, logarithmic, nines
from assay.engine.load.barchart import bar_chart
from assay.engine.load.linechart import Line, line_chart
from assay.engine.load.result import Latency, Round, Way
from assay.engine.load.text import NAMES, WAITING, load_of, stage_names

PERCENTILES = {"p50": "p50", "p95": "p95", "p99": "p99", "p99.9": "p999"}


@dataclass(frozen=True)
class Figure:
    """`drawing` is HTML."""

    title: str
    about: str
    drawing: str


def figures(way: Way) -> Iterator[Figure]:
    """Those that there are values for."""
    opened = [(each, each.latency) for each in way.rounds if each.loop == "open" and each.latency]
    timed = [(each, each.latency) for each in way.rounds if each.latency]
    if opened:
        yield _over_rate(way, opened)
    if timed:
        yield _distribution(timed)
    yield from _stages(way)
    used = [(load_of(each), _in_ms(each.cpu)) for each in way.rounds if each.cpu]
    if used:
        yield Figure(
            "Processor time an image",
            "By process. At low rates the work of waiting counts, too.",
            bar_chart(used, "ms"),
        )
    if opened:
        yield _over_time([each for each, _ in opened])


def compared(ways: Sequence[Way]) -> Figure | None:
    """The ways beside each other; None where there are not two with open loops."""
    lines = []
    for way in ways:
        points = [(each.rate, _ms(each.latency.p95)) for each in way.rounds if each.rate and each.latency]
        if any(height for _, height in points):
            lines.append(Line(NAMES[way.way], sorted(points)))
    if len(lines) < 2:
        return None
    return Figure(
        "The ways beside each other",
        "Latency within which 95 % of the images had a verdict, over the rate at which they came.",
        line_chart(
            lines,
            linear("images/s that arrive", [rate for line in lines for rate, _ in line.points]),
            logarithmic("ms", [height for line in lines for _, height in line.points if height]),
        ),
    )


def _over_rate(way: Way, opened: list[tuple[Round, Latency]]) -> Figure:
    ordered = sorted(opened, key=lambda pair: pair[0].rate or 0.0)
    lines = [
        Line(name, [(each.rate or 0.0, _ms(getattr(found, field))) for each, found in ordered])
        for name, field in PERCENTILES.items()
    ]
    lines = [line for line in lines if any(height is not None for _, height in line.points)]
    closed = next((each.images_per_second for each in way.rounds if each.loop == "closed"), None)
    rates = [each.rate or 0.0 for each, _ in opened] + ([closed] if closed else [])
    return Figure(
        "Latency over rate",
        "Open loop: images arrive at random, and latency counts from the moment at which one was to be sent. "
        "The upright line is what the closed loop gave.",
        line_chart(
            lines,
            linear("images/s that arrive", rates),
            logarithmic("ms", [height for line in lines for _, height in line.points if height]),
            mark=(closed, "closed loop") if closed else None,
        ),
    )


def _distribution(timed: list[tuple[Round, Latency]]) -> Figure:
    lines = [
        Line(load_of(each), [(share, 1000 * seconds) for share, seconds in found.curve])
        for each, found in timed
    ]
    most = max(share for _, found in timed for share, _ in found.curve)
    return Figure(
        "Latency within which a share of the images had a verdict",
        "Every step to the right leaves a tenth of the images of the step before.",
        line_chart(
            lines,
            nines("of the images", most),
            logarithmic("ms", [height for line in lines for _, height in line.points if height]),
        ),
    )


def _over_time(opened: list[Round]) -> Figure:
    lines = [
        Line(load_of(each), [(moment.second, _ms(moment.longest)) for moment in each.moments])
        for each in opened
    ]
    return Figure(
        "Longest latency over time",
        "Of the images that were to be sent in a moment; a gap is a moment without any.",
        line_chart(
            lines,
            linear("s since the warm-up", [each.seconds for each in opened]),
            logarithmic("ms", [height for line in lines for _, height in line.points if height]),
        ),
    )


def _stages(way: Way) -> Iterator[Figure]:
    names = stage_names(way)
    rows = [
        (load_of(each), _in_ms({name: each.stages[name] for name in names if name in each.stages}))
        for each in way.rounds
        if each.stages
    ]
    work = [(words, {name: ms for name, ms in parts.items() if name not in WAITING}) for words, parts in rows]
    waits = [(words, {name: ms for name, ms in parts.items() if name in WAITING}) for words, parts in rows]
    if any(parts for _, parts in work):
        yield Figure(
            "Work of a worker on an image",
            "Mean milliseconds by stage; in a batch, an image's share of it.",
            bar_chart(work, "ms"),
        )
    if any(parts for _, parts in waits):
        yield Figure(
            "Waiting for a worker",
            "Mean milliseconds in the queue, and held by a worker that is busy with the batch before.",
            bar_chart(waits, "ms"),
        )


def _in_ms(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: 1000 * value for name, value in seconds.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
