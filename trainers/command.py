"""What every `assay train` command does once its run is settled: write it down, fit, and say how it went."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:  # the fit brings torch, which `--help` must not wait for
    from assay.trainers.fit import Fit
    from assay.trainers.run import Record


def carry_out(fit: "Fit", run: "Record", out: Path, resume: bool, best: str = "{:.4f}") -> None:
    """Run `fit` into folder `out`, from where it stopped if `resume`; `best` formats its best figure."""
    from assay.trainers.fit import UNREADABLE

    run.write(out)
    if resume:
        fit.resume()
    console = Console(stderr=True)
    done = fit.run(console)
    if not fit.rank.first:
        return
    figure = best.format(done.best)
    console.print(f"{done.epoch} epochs; best {figure} in epoch {done.best_epoch}; weights in {out}")
    if fit.unreadable:
        console.print(f"{len(fit.unreadable)} files could not be read, see {out / UNREADABLE}")
