"""What was measured, as tables for people and for pages of Markdown."""

from collections.abc import Iterator, Mapping
from itertools import chain

from assay.engine.load.arrivals import in_words
from assay.engine.load.result import Outcomes, Result, Round, Way, WayName
from assay.engine.report.markdown import table
from assay.engine.settings import MIB

NAMES: Mapping[WayName, str] = {
    WayName.UNARY: "gRPC, a call an image",
    WayName.STREAM: "gRPC, one stream",
    WayName.KAFKA: "Kafka",
    WayName.FOLDER: "files, scored in this process",
}
HEAD = ("load", "images/s", "p50 ms", "p95", "p99", "p99.9", "CPU ms an image", "verdicts")
WAITING = ("queue", "held")
"""Stages in which an image waits; in the others it is worked on, and its share of a batch counts."""
ORDER = (*WAITING, "decode", "view", "classify")


def text(result: Result) -> str:
    """A paragraph and a table for each way, then what was wrong."""
    return "\n".join(
        chain([measured_on(result), ""], *(_way(way) for way in result.ways), notes(result), _ended(result))
    )


def measured_on(result: Result) -> str:
    """`2026-11-28, 2 cores of ...; assay 0.2.0, ...; 200 made JPEGs of 512x384, 42 kB each`."""
    machine = result.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    images = f"{result.images.source}, {result.images.mean_bytes / 1000:.0f} kB each"
    return f"{result.when[:10]}, {machine.cores} cores of {machine.cpu}; {versions}. {images}."


def title(way: Way) -> str:
    """Way, place, and what scored there, in words."""
    return f"{NAMES[way.way]}{'' if way.way is WayName.FOLDER else f', to {where(way)}'}: {scored_by(way)}"


def where(way: Way) -> str:
    """Where the images went, in words."""
    if way.way is WayName.FOLDER:
        return "an engine in this process"
    return "a server started for this" if way.started else way.place


def scored_by(way: Way) -> str:
    """What scored: its precision is known only of what was started."""
    return way.runs or way.bundle or "nothing that gave a verdict"


def load_of(measured: Round) -> str:
    """A round in a few words."""
    if measured.rate is None:
        return f"closed, {measured.outstanding} at a time"
    return f"open, {in_words(measured.rate)}/s"


def milliseconds(seconds: float | None) -> str:
    """Three digits that matter."""
    if seconds is None:
        return ""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def row(measured: Round) -> list[str]:
    """The cells of a round below `HEAD`."""
    found = measured.latency
    times = (found.p50, found.p95, found.p99, found.p999) if found else (None,) * 4
    used = ", ".join(f"{name} {milliseconds(taken)}" for name, taken in measured.cpu.items())
    rate = f"{measured.images_per_second:.1f}"
    return [load_of(measured), rate, *map(milliseconds, times), used, came_of(measured.outcomes)]


def came_of(outcomes: Outcomes) -> str:
    """`812`, or `800 of 812: 10 overloaded, 2 unanswered`."""
    others = {**outcomes.rejections, **outcomes.errors}
    if outcomes.unanswered:
        others["unanswered"] = outcomes.unanswered
    if not others:
        return str(outcomes.verdicts)
    total = outcomes.verdicts + sum(others.values())
    return f"{outcomes.verdicts} of {total}: " + ", ".join(
        f"{count} {what}" for what, count in others.items()
    )


def memory(way: Way) -> str:
    """`front 180 MiB, workers 410 MiB`."""
    return ", ".join(f"{name} {size // MIB} MiB" for name, size in way.peak_memory.items())


def energy(measured: Round) -> str:
    """Joules an image, where GPUs say them."""
    return "" if measured.joules is None else f"{measured.joules:.3g}"


def stage_names(way: Way) -> list[str]:
    """All stages of a way, in the order in which an image meets them."""
    names = dict.fromkeys(name for each in way.rounds for name in each.stages)
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def problems(way: Way) -> Iterator[str]:
    """A sentence for each round that was not what was asked for, and for what came from a cache."""
    for each in way.rounds:
        about = f"{NAMES[way.way]}, {load_of(each)}"
        if each.problem:
            yield f"{about}: {each.problem}."
        if each.cached:
            yield (
                f"{about}: {each.cached} verdicts came from the server's cache, in no time; serve with "
                "`--cache-mib 0`, or send JPEG or PNG."
            )


def notes(result: Result) -> Iterator[str]:
    """How the figures are to be read."""
    rounds = [each for way in result.ways for each in way.rounds]
    if rounds:
        yield (
            f"The first {rounds[0].warm_up:g} s of each load are not counted. Open loops count latency from "
            "the moment at which an image was to be sent, closed ones from when it was sent."
        )


def _way(way: Way) -> Iterator[str]:
    yield f"{title(way)}\n"
    yield table([HEAD, *map(row, way.rounds)])
    names = stage_names(way)
    if names:
        head = ["ms a verdict in", *names, "joules an image"]
        rows = [
            [load_of(each), *(milliseconds(each.stages.get(name)) for name in names), energy(each)]
            for each in way.rounds
        ]
        yield table(
            [cells if any(each.joules for each in way.rounds) else cells[:-1] for cells in (head, *rows)]
        )
    if way.peak_memory:
        yield f"Peak memory: {memory(way)}.\n"
    yield from problems(way)


def _ended(result: Result) -> Iterator[str]:
    if result.ended:
        yield f"Not complete: {result.ended}."
