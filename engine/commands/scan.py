"""`assay scan`: files and folders, scored in this process's own engine."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from assay.engine.bundle import DEFAULT, find
from assay.engine.commands.log import start_log
from assay.engine.commands.options import (
    BundleName,
    ConfigFile,
    Devices,
    Executor,
    Precision,
    Unmeasured,
    Verbose,
    Workers,
    engine_settings,
)
from assay.engine.config import read_config
from assay.engine.core import Core
from assay.engine.doors.files import find_files, scan
from assay.engine.errors import SetupError
from assay.engine.report import lines as report
from assay.engine.report.html import EVIDENCE
from assay.engine.settings import Settings
from assay.engine.streams import say


def for_files(settings: Settings, total: int) -> Settings:
    """No more workers than there are files, and no batches made ready that so few cannot fill."""
    files = max(1, total)
    if settings.devices:
        return settings.model_copy(update={"devices": settings.devices[:files]})
    workers = min(settings.workers, files)
    batch = min(settings.batch, -(-files // max(1, workers)))
    return settings.model_copy(update={"workers": workers, "batch": batch})


def scan_command(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with all that is below them.")],
    bundle: BundleName = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    page: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with thumbnails.")] = None,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="With --report: show what each verdict rests on, as `assay explain` draws it, of the first "
            f"{EVIDENCE} files; each takes several times as long.",
        ),
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", help="Write a Parquet file; needs pyarrow.")
    ] = None,
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Score files and folders: one line for each regular file, a verdict or why there is none."""
    start_log(logging.INFO if verbose else logging.WARNING)
    settings = engine_settings(read_config(config), workers, precision, allow_unmeasured, devices, executor)
    if evidence and not page:
        raise SetupError("--evidence needs --report, the page on which it is drawn")
    chosen = find(bundle)
    with report.writer(as_json, csv, page, parquet) as write:
        written = {
            os.path.realpath(out) for out in (csv, page, parquet) if out
        }  # it may lie in a scanned folder

        def files(passed_over: Callable[[str], object]) -> Iterator[Path]:
            found = find_files(paths, passed_over)
            return (path for path in found if not written or os.path.realpath(path) not in written)

        total = sum(1 for _ in files(lambda _: None))
        core = Core([chosen], for_files(settings, total))
        try:
            start = perf_counter()
            tally = report.Tally()
            for path, outcome in report.with_progress(
                scan(core, files(say), drawn=EVIDENCE if evidence else 0), total
            ):
                write(path, outcome)
                tally.add(outcome)
            say(tally.summary(perf_counter() - start))
        finally:
            core.stop(0.0)
