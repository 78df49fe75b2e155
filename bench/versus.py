"""The engine against a published procedure: both are run in turn, and what each took is printed.

The procedure runs with torch on all cores, an image at a time; the engine as it is served, a worker a core.
Each round runs every form once; rates and ratios are medians over the rounds.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.detectors import Stopwatch
from assay.engine.executors.openvino import computes_bf16
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.report.markdown import table
from assay.engine.settings import Settings

PEER = "published procedure"
Seconds = dict[str, float]
"""Seconds an image by stage, and for a whole run under "all"."""
Forms = Sequence[tuple[str, Callable[[], Seconds]]]
"""What is run, by name."""
Runs = Mapping[str, Sequence[Seconds]]
"""What each form took in each round."""


def rounds(forms: Forms, count: int) -> Runs:
    """Runs every form once, `count` times."""
    runs: dict[str, list[Seconds]] = {}
    for _ in range(count):
        for name, run in forms:
            runs.setdefault(name, []).append(run())
    return runs


def by_procedure(score: Callable[[Path, Stopwatch], object], files: Sequence[Path]) -> Seconds:
    """One file after the other by `score`, which gives the stopwatch its stages."""
    score(files[0], Stopwatch())  # warm
    watch, start = Stopwatch(), perf_counter()
    for file in files:
        score(file, watch)
    return _shared({**watch.seconds, "all": perf_counter() - start}, len(files))


def by_engine(bundle: Bundle, precision: str, stages: Sequence[str], files: Sequence[Path]) -> Seconds:
    """Stages are those of one worker: with two workers an image takes them in half the time."""
    core = Core([bundle], Settings(precision=precision, allow_unmeasured=True))
    try:
        start = perf_counter()
        items = [Item(str(file), file.read_bytes()) for file in files]
        outcomes = [future.result() for future in core.submit(items, wait=True)]
        seconds = {"all": perf_counter() - start}
    finally:
        core.stop()
    for outcome in outcomes:
        assert isinstance(outcome, Verdict), outcome
        for stage in stages:
            seconds[stage] = seconds.get(stage, 0.0) + outcome.seconds[stage]
    return _shared(seconds, len(files))


def precisions(bundle: Bundle) -> list[str]:
    """Those that this CPU computes in; int8 where the bundle has its forms."""
    int8 = any(graph.int8 for graph in bundle.manifest.graphs.values())
    return ["fp32", *(["bf16"] if computes_bf16() else []), *(["int8"] if int8 else [])]


def rate(each: Sequence[Seconds]) -> str:
    """Images a second."""
    return f"{statistics.median(1 / seconds['all'] for seconds in each):.2f}"


def ratio(slow: Sequence[Seconds], fast: Sequence[Seconds]) -> str:
    """How many times as fast."""
    return (
        f"{statistics.median(one['all'] / other['all'] for one, other in zip(slow, fast, strict=True)):.2f}"
    )


def rate_table(runs: Runs) -> str:
    rows = [[name, rate(each), ratio(runs[PEER], each)] for name, each in runs.items()]
    return table([["", "images/s", "times the procedure"], *rows])


def stage_table(runs: Runs, stages: Sequence[str], *, shares: bool = False) -> str:
    """Milliseconds an image in each stage, and with `shares` of the time of all stages."""
    rows = [["", *stages]]
    for name, each in runs.items():
        times = [1000 * statistics.median(seconds[stage] for seconds in each) for stage in stages]
        cells = [f"{time:.1f}" + (f" ({time / sum(times):.0%})" if shares else "") for time in times]
        rows.append([name, *cells])
    return table(rows)


def _shared(seconds: Seconds, count: int) -> Seconds:
    return {stage: value / count for stage, value in seconds.items()}
