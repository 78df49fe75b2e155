"""The training commands of `assay`: train, export, calibrate, evaluate. Torch is imported when one runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from assay.engine.cli.group import commands
from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.apn import train_apn
from assay.trainers.cli.fusing import train_fusing
from assay.trainers.cli.lnp import train_denoiser, train_lnp
from assay.trainers.cli.needs import need_torch
from assay.trainers.cli.run import carry_out, settle

console = Console(stderr=True)
train = commands("Train a detector on a folder of photographs and synthesised images.")


@train.callback()
def _kinds() -> None:
    """With one kind alone, the kind would not have to be named."""


@train.command("plain")
def train_plain(
    data: options.Data,
    out: options.Out,
    min_side: options.MinSide = 0,
    backbone: Annotated[
        Literal["resnet50", "mobilenet_v2", "no_down", "patch_forensics"],
        typer.Option(
            help="Network. resnet50: CNN_aug. no_down: ResNet-50 without its first two reductions. "
            "patch_forensics: the start of ResNet-18, with a decision at each position."
        ),
    ] = "resnet50",
    weights: options.Weights = None,
    recipe: options.Recipe = "cnn_aug",
    altered_validation: options.Altered = False,
    epochs: options.Epochs = 100,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, half of them photographs.")] = 64,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of AdamW.")] = 1e-4,
    schedule: options.Schedule = "plateau",
    patience: options.Patience = 5,
    monitor: options.Monitor = "accuracy",
    weight_decay: options.WeightDecay = 0.0,
    smoothing: Annotated[float, typer.Option(min=0, max=1, help="Label smoothing.")] = 0.0,
    average: options.Average = 0.0,
    size: Annotated[int, typer.Option(min=32, help="Side of the served view in pixels.")] = 224,
    crop: Annotated[
        int | None,
        typer.Option(min=32, help="Side of training crops; smaller ones train faster. [default: size]"),
    ] = None,
    precision: options.Precision = "fp32",
    seed: options.Seed = 0,
    workers: options.Workers = 2,
    resume: options.Resume = False,
) -> None:
    """Train `plain`: one logit on native-resolution crops; with its defaults the papers' CNN_aug baseline.

    Two more of the Fusing paper's baselines are backbones here; all are trained on the same native crops.

    A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files that
    cannot be read are skipped, counted, and listed in unreadable.txt.
    """
    need_torch()
    from assay.trainers.fit.loop import FitSettings
    from assay.trainers.fit.run import Run
    from assay.trainers.kinds.plain.fit import make_fit

    settings = FitSettings(
        epochs=epochs,
        rate=rate,
        weight_decay=weight_decay,
        schedule=schedule,
        patience=patience,
        monitor=monitor,
        precision=precision,
        average=average,
    )
    run = settle(
        Run,
        out,
        resume,
        lambda: Run(
            kind="plain",
            backbone=backbone,
            recipe=recipe,
            altered=altered_validation,
            size=size,
            crop=crop or size,
            data=data,
            min_side=min_side,
            weights=weights.name if weights else "",
            batch=batch,
            seed=seed,
            smoothing=smoothing,
            fit=settings,
        ),
    )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume)


train.command("fusing")(train_fusing)
train.command("denoiser")(train_denoiser)
train.command("lnp")(train_lnp)
train.command("apn")(train_apn)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    bundle: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")],
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[str, typer.Option(help="SPDX name of the licence of the weights.")] = "Apache-2.0",
    checkpoint: Annotated[Literal["best", "last"], typer.Option(help="Which weights of the run.")] = "best",
    crops: Annotated[
        Literal["centre", "five"],
        typer.Option(help="What of a large image is looked at: its centre, or also its corners, averaged."),
    ] = "centre",
    min_side: Annotated[int, typer.Option(min=1, help="Smaller images are rejected.")] = 64,
    pt2: Annotated[
        bool, typer.Option("--pt2", help="Each graph as a torch.export program too: GPUs without TensorRT.")
    ] = False,
) -> None:
    """Write the network of a run as a bundle: manifest.json and its graphs as ONNX. Calibrate it next."""
    need_torch()
    from assay.trainers.fit.run import kind_of
    from assay.trainers.kinds.apn import fit as apn
    from assay.trainers.kinds.fusing import fit as fusing
    from assay.trainers.kinds.lnp import fit as lnp
    from assay.trainers.kinds.plain.fit import CROPS, export_run

    named: Any = {"name": name, "version": version, "licence": licence, "programs": pt2}
    best = checkpoint == "best"
    kind = kind_of(run)
    if kind == "denoiser":
        raise SetupError(f"{run}: a denoiser gives no verdict; name it to `assay train lnp --denoiser`")
    named |= {"best": best, "min_side": min_side}
    whole = {"fusing": fusing.export_run, "apn": apn.export_run}
    if kind in whole:
        if crops != "centre":
            raise SetupError(f"--crops is for plain and lnp; {kind} has one view of an image")
        written = whole[kind](run, bundle, **named)
    else:
        write = lnp.export_run if kind == "lnp" else export_run
        written = write(run, bundle, crop=CROPS[crops], **named)
    console.print(f"{written.name} {written.version} in {bundle}; next: assay calibrate {bundle} --data ...")


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


def evaluate(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: a folder, or the name of one that ships with Assay.")
    ],
    data: options.Data,
    split: Annotated[list[str] | None, typer.Option(help="Splits to judge. [default: all but train]")] = None,
    min_side: options.MinSide = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for report.md and the tables as CSV.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "int8"], typer.Option(help="What its graphs compute in.")
    ] = "fp32",
    record: Annotated[
        bool, typer.Option(help="Write mAP and label shares into the bundle's manifest.")
    ] = False,
) -> None:
    """Judge a bundle as it is served: by pool, by generator, by source of photographs, and by shorter side.

    `assay data` builds a pool for each split and view; in other data a pool is the folder that photographs
    and fakes share. Average precision and the area under the ROC curve are of all images of a row together,
    mean AP is over its generators. With --split and --min-side all tables are of these images alone.
    """
    from assay.engine import bundle as bundles
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.evaluate.metrics import Judged
    from assay.trainers.evaluate.report import figures, markdown, write_report
    from assay.trainers.evaluate.score import score
    from assay.trainers.export.bundle import graphs_of, write_manifest

    chosen = bundles.find(bundle)
    samples = read_samples(data, min_side)
    samples = of_split(samples, *(split or {sample.split for sample in samples} - {"train"}))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=len(samples))
        graphs = graphs_of(chosen, precision)
        scored = score(samples, chosen.manifest, graphs, lambda count: progress.advance(task, count))
    judged = Judged(scored, chosen.manifest.calibration, chosen.manifest.thresholds)
    typer.echo(markdown(judged))
    if out:
        write_report(judged, out)
    if record:
        write_manifest(chosen.manifest.model_copy(update={"metrics": figures(judged)}), chosen.path)
