"""What every `assay train` command does: settle its run, write it down, fit, and say how it went."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from assay.engine.errors import SetupError

if TYPE_CHECKING:  # the fit brings torch, which `--help` must not wait for
    from assay.trainers.fit.loop import Fit
    from assay.trainers.fit.run import Record

AnyRecord = TypeVar("AnyRecord", bound="Record")


def settle(kind: type[AnyRecord], out: Path, resume: bool, new: Callable[[], AnyRecord]) -> AnyRecord:
    """The run in folder `out` if `resume`, else a new one. Raises SetupError where a run is there already."""
    from assay.trainers.fit.loop import LAST

    if resume:
        return kind.read(out)
    if (out / LAST).exists():
        raise SetupError(f"{out} holds a run already: go on with --resume, or name another folder")
    return new()


def carry_out(fit: "Fit", run: "Record", out: Path, resume: bool, best: str = "{:.4f}") -> None:
    """Run `fit` into folder `out`, from where it stopped if `resume`; `best` formats its best figure."""
    from assay.trainers.fit.loop import UNREADABLE

    run.write(out)
    if resume:
        fit.resume()
    console = Console(stderr=True)
    done = fit.run(console)
    if not fit.rank.first:
        return
    figure = f"{fit.settings.monitor} {best.format(done.best)}"
    console.print(f"{done.epoch} epochs; best {figure} in epoch {done.best_epoch}; weights in {out}")
    if fit.unreadable:
        console.print(f"{len(fit.unreadable)} files could not be read, see {out / UNREADABLE}")
