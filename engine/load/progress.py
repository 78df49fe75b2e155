"""The progress bar of a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from assay.engine.load.session import Watch


@contextmanager
def progress(total: float) -> Iterator[Watch]:
    """On standard error, where that is a terminal; `total` in seconds."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[answered]} answered"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=total, answered=0)

        def watch(what: str, seconds: float, answered: int) -> None:
            bar.update(task, description=what, completed=min(seconds, total), answered=answered)

        yield watch
