"""`assay compile`: a bundle's graphs made ready for a runtime ahead of time, on any machine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from assay.engine import bundle as bundles
from assay.engine.bundle import Bundle, GraphSpec
from assay.engine.detectors import detector_of, make_graphs
from assay.engine.errors import SetupError
from assay.engine.executors.cache import Cache, write
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.tensorrt import library as tensorrt_library
from assay.engine.executors.tensorrt.build import MAX_BATCH, Builder
from assay.engine.quantise import evenly_spaced, int8_graphs

console = Console(stderr=True)


class Target(StrEnum):
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    OPENVINO = "openvino"


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


def compile_command(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle, or a bundle's folder.")],
    target: Annotated[Target, typer.Option(help="The runtime.")],
    precision: Annotated[
        Precision, typer.Option(help="Graphs that choose indices stay in fp32.")
    ] = Precision.FP32,
    max_batch: Annotated[int, typer.Option(min=1, help="Largest batch of an engine.")] = MAX_BATCH,
    sm: Annotated[
        list[int] | None,
        typer.Option(
            help="tensorrt-rtx: a GPU architecture, such as 89; repeat for more. [default: its own]"
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="int8: a folder of photographs such as the bundle will be given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Cache folder to write to. [default: ASSAY_CACHE]")
    ] = None,
) -> None:
    """Build a bundle's engines ahead of time; `assay serve` finds them in the cache folder."""
    if sm and target is not Target.TENSORRT_RTX:
        raise SetupError("--sm is for tensorrt-rtx; TensorRT builds for the GPU at hand")
    chosen = bundles.find(bundle)
    detector_of(chosen)
    if unmeasured := [
        name for name, spec in chosen.manifest.graphs.items() if precision not in spec.precisions
    ]:
        print(
            f"assay: {chosen.name} was not measured in {precision} ({', '.join(unmeasured)}): serving it so "
            "needs --allow-unmeasured",
            file=sys.stderr,
        )
    place = Cache(out) if out else Cache()
    if images:
        if precision is not Precision.INT8:
            raise SetupError("--images is for int8, whose scales come from them")
        quantise(chosen, images, place)
    if target is Target.OPENVINO:
        if precision is not Precision.INT8:
            raise SetupError(f"OpenVINO compiles {precision} graphs as it loads them: nothing is built ahead")
        for file in make_graphs(chosen, lambda name: precision, partial(_loaded, cache=place)).values():
            print(file)
        return
    for builder in _builders(target, sm or [], place):
        for file in compile_bundle(chosen, builder, precision, max_batch):
            print(file)


def compile_bundle(bundle: Bundle, builder: Builder, precision: str, max_batch: int) -> list[Path]:
    """Builds an engine of every graph that the bundle's detector asks for -> their files in the cache."""

    def build(file: Path, spec: GraphSpec, precise: str) -> Path:
        with _bar(f"{file.name} {precise} {builder.device}") as progress:
            engine = builder.build(file, spec, precise, max_batch, progress)
        return write(builder.place(file, spec, precise), engine)

    return list(dict.fromkeys(make_graphs(bundle, lambda name: precision, build).values()))


def quantise(bundle: Bundle, folder: Path, cache: Cache) -> None:
    """Make int8 forms of the bundle's graphs, with scales from the images below `folder`, in `cache`."""
    if not folder.is_dir():
        raise SetupError(f"{folder} is not a folder of images")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for name, data in int8_graphs(bundle, evenly_spaced(bundle, files)).items():
        write(cache.int8_cached(bundle.manifest.graphs[name]), data)


def _loaded(file: Path, spec: GraphSpec, precision: str, cache: Cache) -> Path:
    """The file that OpenVINO runs, which it was seen to take."""
    OpenVinoGraph(file, spec, precision, cache)
    return cache.int8_file(file, spec) if precision == "int8" else file


def _builders(target: Target, architectures: list[int], cache: Cache) -> list[Builder]:
    if target is Target.TENSORRT:
        builder = Builder(tensorrt_library.library(tensorrt_library.FULL), cache=cache)
        _current()
        return [builder]
    trt = tensorrt_library.library(tensorrt_library.RTX)
    return [Builder(trt, sm, cache) for sm in architectures or [_current()]]


def _current() -> int:
    """The compute capability of the GPU at hand, 89 for 8.9."""
    try:
        import cupy

        return int(cupy.cuda.Device(0).compute_capability)
    except Exception:  # no CuPy, no driver, no GPU
        raise SetupError(
            "there is no GPU here that could be asked for its architecture: for tensorrt-rtx name one, such "
            "as --sm 89; tensorrt builds on the GPU that will run the engine"
        ) from None


class _Bar:
    """The builder's phases as progress bars, one below another."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._title = title

    def start(self, phase: str, steps: int) -> None:
        name = phase if self._tasks else self._title
        self._tasks[phase] = self._progress.add_task("  " * len(self._tasks) + name, total=steps)

    def step(self, phase: str, done: int) -> None:
        self._progress.update(self._tasks[phase], completed=done)

    def finish(self, phase: str) -> None:
        self._progress.remove_task(self._tasks.pop(phase))


@contextmanager
def _bar(title: str) -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress, title)
