"""What every `assay train` command does: open its run, write it down, fit, and say how it went."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from assay.engine.errors import SetupError
from assay.trainers.fit.run import LAST, UNREADABLE, RunConfig

if TYPE_CHECKING:  # the fit brings torch, which `--help` must not wait for
    from assay.trainers.fit.loop import Fit

AnyRun = TypeVar("AnyRun", bound=RunConfig)


def open_run(kind: type[AnyRun], out: Path, resume: bool, new: Callable[[], AnyRun]) -> AnyRun:
    """The run in folder `out` if `resume`, else a new one. Raises SetupError where a run is there already."""
    if resume:
        return kind.read(out)
    if (out / LAST).exists():
        raise SetupError(f"{out} holds a run already: continue it with --resume, or name another folder")
    return new()


def extended(run: AnyRun, epochs: int | None) -> AnyRun:
    """`run` with this number of epochs, if there is one."""
    if epochs is None:
        return run
    return run.model_copy(update={"fit": run.fit.model_copy(update={"epochs": epochs})})


def run_training(
    fit: "Fit",
    run: RunConfig,
    out: Path,
    resume: bool,
    figure: str = "{:.4f}",
    extended: bool = False,
) -> None:
    """Run `fit` into folder `out`, from where it stopped if `resume`; `figure` formats its best figure."""
    if resume:
        fit.resume(extended)
    run.write(out)
    console = Console(stderr=True)
    done = fit.run(console)
    if not fit.rank.first:
        return
    best = f"{fit.settings.monitor} {figure.format(done.best)}"
    console.print(f"{done.epoch} epochs; best {best} in epoch {done.best_epoch}; weights in {out}")
    if fit.unreadable:
        console.print(f"{len(fit.unreadable)} files could not be read, see {out / UNREADABLE}")
