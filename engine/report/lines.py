"""How `assay scan` shows outcomes: text, JSON lines, CSV or HTML, with progress and a summary beside.

Text, CSV and HTML are for people: names are printable there and cannot forge a line. JSON has them exactly.
"""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image
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
from assay.engine.outcome import Outcome, Verdict
from assay.engine.printable import printable
from assay.engine.report.html import html_report
from assay.engine.report.parquet import parquet_table
from assay.engine.streams import CLOSED, say

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

Scored = tuple[Path, Outcome]
CSV_COLUMNS = ("path", "label", "probability", "bundle", "version", "rejected", "detail", "doubts")
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet; the last four in East Asian ones."""


class Writer(Protocol):
    """Writes one file's outcome."""

    def __call__(self, path: Path, outcome: Outcome) -> None: ...


def text_writer(stream: "SupportsWrite[str]") -> Writer:
    """One line a file: label or reason, probability, path."""

    def write(path: Path, outcome: Outcome) -> None:
        if isinstance(outcome, Verdict):
            print(f"{outcome.label:<18} {outcome.probability:6.3f}  {printable(path)}", file=stream)
        else:
            why = printable(f"{path}: {outcome.detail}")
            print(f"{outcome.reason:<18} {'':6}  {why}", file=stream)

    return write


def json_writer(stream: "SupportsWrite[str]") -> Writer:
    """One JSON object a line: the path and `outcome.to_dict()`."""

    def write(path: Path, outcome: Outcome) -> None:
        print(json.dumps({"path": str(path), **outcome.to_dict()}), file=stream)

    return write


def csv_writer(stream: "SupportsWrite[str]") -> Writer:
    """One row a file, columns `CSV_COLUMNS`; those that do not apply are empty.

    A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula and may run it. A path that
    does gets `./` before it, which is the same file; any other words get an apostrophe. All words are quoted,
    so that a semicolon begins no cell either.
    """
    rows = csv.DictWriter(
        stream, CSV_COLUMNS, extrasaction="ignore", restval="", quoting=csv.QUOTE_NONNUMERIC
    )
    rows.writeheader()

    def write(path: Path, outcome: Outcome) -> None:
        record = outcome.to_dict()
        record["doubts"] = " ".join(record.get("doubts", ()))
        cells = {name: _harmless(cell, "'") for name, cell in record.items()}
        rows.writerow({**cells, "path": _harmless(str(path), "./")})

    return write


def _harmless(cell: Any, before: str) -> Any:
    if not isinstance(cell, str):
        return cell
    words = printable(cell)
    return before + words if words.startswith(FORMULA) else words


@contextmanager
def writer(
    as_json: bool, csv_file: Path | None, html_file: Path | None = None, parquet_file: Path | None = None
) -> Iterator[Writer]:
    """The writer that was asked for: JSON lines, a CSV file, an HTML page, a Parquet file, or text.

    Raises:
        SetupError: several were asked for, or what is written to cannot be written, at first or later; a
            Parquet file without pyarrow.
    """
    chosen = {"--json": as_json, "--csv": csv_file, "--report": html_file, "--parquet": parquet_file}
    if len(asked := [option for option, given in chosen.items() if given]) > 1:
        raise SetupError(f"{' and '.join(asked)} exclude each other")
    if parquet_file:
        with parquet_table(parquet_file) as table:
            yield table
        return
    if file := csv_file or html_file:
        stream = _Output(file)
        try:
            if csv_file:
                yield csv_writer(stream)
            else:
                with html_report(stream) as report:
                    yield report
        finally:
            stream.close()
        return
    if "stdout" in CLOSED:
        say("assay: warning: standard output is closed, outcomes are lost; name a file with --csv")
    yield json_writer(sys.stdout) if as_json else text_writer(sys.stdout)


class _Output:
    """A file of text that is written; what the system says against it is a `SetupError`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._errors():
            self._stream = file.open("w", newline="", encoding="utf-8")

    def write(self, text: str) -> int:
        with self._errors():
            return self._stream.write(text)

    def close(self) -> None:
        with self._errors():
            self._stream.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SetupError(f"{self._file} cannot be written: {error.strerror}") from None


def check_picture(file: Path) -> None:
    """Raises `SetupError` where `file` cannot be written as a picture, known before there is one."""
    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE:
        raise SetupError(f"{file} cannot be written: its name has to end as that of a picture, such as .png")
    check_file(file)


def check_file(file: Path) -> None:
    """Raises `SetupError` where `file` cannot be written, known before there is anything to write."""
    new = not os.path.lexists(file)
    try:
        file.open("ab").close()
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}") from None
    if new:
        with suppress(OSError):
            file.unlink()


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
