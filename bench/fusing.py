"""The engine against the published procedure on the global-and-local detector, with the time of each stage.

    python -m assay.bench.fusing [IMAGES] [--backbone resnet50] [--pairs 3]

The procedure runs as published (see `assay.bench.published`) with torch on all cores; the engine runs as it
is served, a worker a core, in fp32, in int8 but for the view pass and, where the CPU computes in it, in bf16.
Weights are random, which changes no time; int8 is scaled on the images. Each round runs every form once;
rates and ratios are medians over the rounds.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

import torch
import typer

from assay.bench import published
from assay.bench.provenance import provenance
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.detectors import Stopwatch
from assay.engine.doors.files import find_files
from assay.engine.executors.openvino import computes_bf16
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.export import with_int8, write_manifest
from assay.trainers.fusing.bundle import draft, export
from assay.trainers.models.backbone import Backbone
from assay.trainers.models.fusing import Fusing

STAGES = ("decode", "view", "backbone_view", "patches", "backbone", "fuse")
PEER = "published procedure"
Seconds = dict[str, float]
"""Seconds an image by stage, and for a whole run under "all"."""


def by_procedure(network: Fusing, files: Sequence[Path]) -> Seconds:
    published.score(network, files[0], Stopwatch())  # warm
    watch, start = Stopwatch(), perf_counter()
    for file in files:
        published.score(network, file, watch)
    return shared({**watch.seconds, "all": perf_counter() - start}, len(files))


def by_engine(core: Core, files: Sequence[Path], stages: Sequence[str] = STAGES) -> Seconds:
    """Stages are those of one worker: with two workers an image takes them in half the time."""
    start = perf_counter()
    items = [Item(str(file), file.read_bytes()) for file in files]
    outcomes = [future.result() for future in core.submit(items, wait=True)]
    seconds = {"all": perf_counter() - start}
    for outcome in outcomes:
        assert isinstance(outcome, Verdict), outcome
        for stage in stages:
            seconds[stage] = seconds.get(stage, 0.0) + outcome.seconds[stage]
    return shared(seconds, len(files))


def shared(seconds: Seconds, count: int) -> Seconds:
    """Seconds of `count` images -> of one."""
    return {stage: value / count for stage, value in seconds.items()}


def main(
    images: Annotated[Path, typer.Argument(help="Folder of photographs.")] = Path("bench/demo/images"),
    backbone: Annotated[Backbone, typer.Option(help="The network.")] = "resnet50",
    count: Annotated[int, typer.Option(help="Images a run.")] = 24,
    pairs: Annotated[int, typer.Option(help="Rounds.")] = 3,
) -> None:
    """Print two tables in Markdown."""
    found = list(find_files([images]))
    files = [found[number % len(found)] for number in range(count)]
    network = Fusing(backbone).eval()
    runs: dict[str, list[Seconds]] = {}
    with tempfile.TemporaryDirectory() as folder:
        named = {"name": "bench", "version": "0", "licence": "none"}
        bundle = export(network, Path(folder), draft(min_side=8).model_copy(update=named))
        bundle = write_manifest(with_int8(bundle, found[:16]), bundle.path)
        for _ in range(pairs):
            for name, run in _forms(network, bundle, files):
                runs.setdefault(name, []).append(run())
    print(f"Fusing with {backbone}, {count} photographs from {images.name}, {pairs} rounds.\n")
    print(provenance("assay", "torch", "openvino", "pillow", "simplejpeg", "numpy"), end="\n\n")
    print("| | images/s | times the procedure |\n|---|--:|--:|")
    for name, each in runs.items():
        rate = statistics.median(1 / seconds["all"] for seconds in each)
        ratios = [peer["all"] / seconds["all"] for peer, seconds in zip(runs[PEER], each, strict=True)]
        print(f"| {name} | {rate:.2f} | {statistics.median(ratios):.2f} |")
    print(
        f"\nMilliseconds an image in each stage; torch used {torch.get_num_threads()} threads, a worker 1.\n"
    )
    print(f"| | {' | '.join(STAGES)} |\n|---|{'--:|' * len(STAGES)}")
    for name, each in runs.items():
        cells = [f"{1000 * statistics.median(seconds[stage] for seconds in each):.1f}" for stage in STAGES]
        print(f"| {name} | {' | '.join(cells)} |")


def _forms(network: Fusing, bundle: Bundle, files: Sequence[Path]) -> list[tuple[str, Callable[[], Seconds]]]:
    engines = [
        (f"engine, {precision}", partial(_serve, bundle, precision, files))
        for precision in precisions(bundle)
    ]
    return [(PEER, partial(by_procedure, network, files)), *engines]


def precisions(bundle: Bundle) -> list[str]:
    """Those that this CPU computes in; int8 where the bundle has its forms."""
    int8 = any(graph.int8 for graph in bundle.manifest.graphs.values())
    return ["fp32", *(["bf16"] if computes_bf16() else []), *(["int8"] if int8 else [])]


def _serve(bundle: Bundle, precision: str, files: Sequence[Path]) -> Seconds:
    core = Core([bundle], Settings(precision=precision, allow_unmeasured=True))
    try:
        return by_engine(core, files)
    finally:
        core.stop()


if __name__ == "__main__":
    typer.run(main)
