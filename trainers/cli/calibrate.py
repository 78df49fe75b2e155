"""`assay calibrate`: calibration, thresholds and precisions of a bundle."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch

console = Console(stderr=True)


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle; its manifest is rewritten.")],
    data: options.Data,
    split: Annotated[list[str] | None, typer.Option(help="Splits to calibrate on. [default: val]")] = None,
    min_side: options.MinSide = 0,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photographs of any one source called synthetic.")
    ] = 0.05,
    misses: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the synthesised images called authentic.")
    ] = 0.05,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Quantise, too, scaled on images of the train split; offered where it passes."
        ),
    ] = False,
) -> None:
    """Fit a bundle's calibration and thresholds, and measure its precisions, on held-out images."""
    need_torch()
    from assay.engine.bundle import Bundle
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.export.bundle import calibrated
    from assay.trainers.export.parity import LIMITS

    samples = read_samples(data, min_side)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=None)
        written, differences = calibrated(
            Bundle.load(bundle),
            of_split(samples, *(split or ["val"])),
            false_alarms=false_alarms,
            misses=misses,
            scale_on=of_split(samples, "train") if int8 else (),
            advance=lambda count: progress.advance(task, count),
        )
    fitted, limits = written.manifest.calibration, written.manifest.thresholds
    console.print(
        f"temperature {fitted.temperature:.4g}, shift {fitted.shift:.4g}; "
        f"synthetic from {limits.synthetic:.4f}, authentic up to {limits.authentic:.4f}"
    )
    for precision, difference in differences.items():
        offered = "offered" if difference <= LIMITS[precision] else "not offered"
        console.print(f"{precision}: largest difference {difference:.4f}, {offered}")
