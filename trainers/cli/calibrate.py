"""`assay calibrate`: calibration, thresholds and precisions of a bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch

console = Console(stderr=True)


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle; its manifest is rewritten.")],
    data: options.Data,
    split: Annotated[list[str] | None, typer.Option(help="Splits to calibrate on. [default: val]")] = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photographs of any one source called synthetic.")
    ] = 0.05,
    misses: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the synthetic images called authentic.")
    ] = 0.05,
    method: Annotated[
        Literal["temperature", "isotonic"] | None,
        typer.Option(
            help="How logits become probabilities. [default: what does better on held-out sources]",
            show_default=False,
        ),
    ] = None,
    doubts: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.5,
            help="Fit the limits of what the bundle knows: the share of images that each one may doubt. "
            "[default: the limits stay as they are]",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Where fp16 and bf16 are measured: cuda or cuda:N, a GPU; on the cpu by an emulation of one."
        ),
    ] = "cpu",
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave calibration, thresholds and int8 as they are, and only measure fp16 and bf16: on a "
            "GPU, say, of a bundle that was calibrated elsewhere.",
        ),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Quantise, too, scaled on images of the train split; offered where it passes."
        ),
    ] = False,
) -> None:
    """Fit a bundle's calibration and thresholds, and measure its precisions, on held-out images."""
    if keep and (method or doubts is not None):
        raise SetupError("--keep fits nothing: leave out --method and --doubts")
    need_torch()
    from assay.engine.bundle import Bundle
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.export.bundle import calibrated
    from assay.trainers.export.parity import LIMITS

    samples = read_samples(data, min_side, only or ())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=None)
        done = calibrated(
            Bundle.load(bundle),
            of_split(samples, *(split or ["val"])),
            false_alarms=false_alarms,
            misses=misses,
            method=method,
            doubts=doubts,
            scale_on=of_split(samples, "train") if int8 else (),
            device=device,
            keep=keep,
            advance=lambda count: progress.advance(task, count),
        )
    fitted, limits = done.choice.calibration, done.bundle.manifest.thresholds
    form = f"{len(fitted.points)} points" if fitted.points else f"temperature {fitted.temperature:.4g}"
    console.print(
        f"{fitted.method}: {form}, shift {fitted.shift:.4g}; "
        f"synthetic from {limits.synthetic:.4f}, authentic up to {limits.authentic:.4f}"
    )
    if keep:
        console.print("calibration and thresholds were left as they are")
    elif done.choice.losses:
        losses = ", ".join(f"{name} {loss:.4f}" for name, loss in done.choice.losses.items())
        console.print(f"cross-entropy on held-out {done.choice.folds}: {losses}")
        console.print(
            f"expected calibration error: {done.error_before:.4f} before, "
            f"{done.choice.error:.4f} on held-out {done.choice.folds}"
        )
    else:
        console.print(
            f"expected calibration error: {done.error_before:.4f} before; too few images to hold out"
        )
    if doubts is not None and (domain := done.bundle.manifest.domain):
        chosen = ", ".join(f"{name} {limit:g}" for name, limit in domain.model_dump().items())
        shares = ", ".join(f"{doubt} {share:.1%}" for doubt, share in done.doubtful.items())
        console.print(f"limits: {chosen}; doubted: {shares or 'none'}")
    for precision, why in done.unmeasured.items():
        console.print(f"{precision}: not measured, not offered: {why}")
    for precision, difference in done.differences.items():
        offered = "offered" if difference <= LIMITS[precision] else "not offered"
        how = ", emulated" if precision in done.emulated else ""
        console.print(f"{precision}: largest difference {difference:.4f}{how}, {offered}")
