"""How `assay scan` shows outcomes: text, JSON lines, CSV or HTML, with progress and a summary beside."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from assay.engine.errors import SetupError
from assay.engine.html_report import html_report
from assay.engine.outcome import Outcome, Verdict

Scored = tuple[Path, Outcome]
CSV_COLUMNS = ("path", "label", "probability", "bundle", "version", "rejected", "detail")


class Writer(Protocol):
    """Writes one file's outcome."""

    def __call__(self, path: Path, outcome: Outcome) -> None: ...


def text_writer(stream: TextIO) -> Writer:
    """One line a file: label or reason, probability, path."""

    def write(path: Path, outcome: Outcome) -> None:
        if isinstance(outcome, Verdict):
            print(f"{outcome.label:<18} {outcome.probability:6.3f}  {path}", file=stream)
        else:
            print(f"{outcome.reason:<18} {'':6}  {path}: {outcome.detail}", file=stream)

    return write


def json_writer(stream: TextIO) -> Writer:
    """One JSON object a line: the path and `outcome.to_dict()`."""

    def write(path: Path, outcome: Outcome) -> None:
        print(json.dumps({"path": str(path), **outcome.to_dict()}), file=stream)

    return write


def csv_writer(stream: TextIO) -> Writer:
    """One row a file, columns `CSV_COLUMNS`; those that do not apply are empty."""
    rows = csv.DictWriter(stream, CSV_COLUMNS, extrasaction="ignore", restval="")
    rows.writeheader()

    def write(path: Path, outcome: Outcome) -> None:
        rows.writerow({**outcome.to_dict(), "path": path})

    return write


@contextmanager
def writer(as_json: bool, csv_file: Path | None, html_file: Path | None = None) -> Iterator[Writer]:
    """The writer that was asked for: JSON lines, a CSV file, an HTML page, or text.

    Raises:
        SetupError: several were asked for, or the file cannot be written.
    """
    chosen = {"--json": as_json, "--csv": csv_file, "--report": html_file}
    if len(asked := [option for option, given in chosen.items() if given]) > 1:
        raise SetupError(f"{' and '.join(asked)} exclude each other")
    if file := csv_file or html_file:
        try:
            stream = file.open("w", newline="", encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise SetupError(f"{file} cannot be written: {error.strerror}") from None
        with stream:
            if csv_file:
                yield csv_writer(stream)
            else:
                with html_report(stream) as report:
                    yield report
        return
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names are bytes: any may come, and must go out
        sys.stdout.reconfigure(errors="surrogateescape")
    yield json_writer(sys.stdout) if as_json else text_writer(sys.stdout)


class Tally:
    """How many outcomes of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        self._counts[(outcome.label if isinstance(outcome, Verdict) else outcome.reason).value] += 1

    def summary(self, seconds: float) -> str:
        """`12 files: 7 authentic, 4 synthetic, 1 truncated in 0.4 s (30 images/s)`."""
        total = self._counts.total()
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._counts.most_common())
        rate = total / max(seconds, 1e-9)
        return f"{total} files: {kinds or 'nothing to score'} in {seconds:.1f} s ({rate:.0f} images/s)"


def with_progress(scored: Iterable[Scored], total: int) -> Iterator[Scored]:
    """Pass `scored` through under a progress bar on standard error, where that is a terminal."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # a bar and lines of outcomes on the same terminal would tear each other up
    hidden = not console.is_terminal or sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("scan", total=total, rate=0.0)
        for one in scored:
            yield one
            bar.update(task, advance=1, rate=bar.tasks[0].speed or 0.0)
