"""`assay train apn`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch
from assay.trainers.cli.run import carry_out, settle

Trunk = Literal["swin_t", "convnext_base", "resnet50", "resnet18", "mobilenet_v2"]


def train_apn(
    data: options.Data,
    out: options.Out,
    min_side: options.MinSide = 0,
    proposals: Annotated[
        int, typer.Option(min=1, help="Bands of an image. The paper: 15, and 5 on DiffusionForensics.")
    ] = 15,
    spatial: Annotated[Trunk, typer.Option(help="Network of the image; swin_t is the paper's.")] = "swin_t",
    frequency: Annotated[
        Trunk, typer.Option(help="Network of purified images; resnet18 is the paper's.")
    ] = "resnet18",
    weights_spatial: Annotated[
        Path | None, typer.Option(help=options.WEIGHTS_HELP.format("spatial branch"))
    ] = None,
    weights_frequency: Annotated[
        Path | None, typer.Option(help=options.WEIGHTS_HELP.format("frequency branch"))
    ] = None,
    masks: Annotated[
        Literal["hard", "soft"],
        typer.Option(help="hard: as published, only the band loss moves bands. soft: every loss does."),
    ] = "hard",
    objective: Annotated[
        Literal["paper", "published", "shipped"],
        typer.Option(
            help="Losses as the paper defines them; with the published code's weights; or the paper's, each "
            "branch's own prediction, bands kept below 1, and a bound on the mutual information kept above 0."
        ),
    ] = "paper",
    form: Annotated[
        Literal["whole", "no_implicit", "no_explicit", "frequency", "space", "spectra", "split"],
        typer.Option(help="The network, or one of table 4's ablations, which the engine does not serve."),
    ] = "whole",
    recipe: Annotated[
        Literal["none", "cnn_aug", "shipped"], typer.Option(help="Augmentation; none is the paper's.")
    ] = "none",
    size: Annotated[int, typer.Option(min=32, help="Side of a view in pixels, even.")] = 224,
    epochs: Annotated[int, typer.Option(min=1, help="The paper: 10, and 40 on DiffusionForensics.")] = 10,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, over all processes.")] = 32,
    accumulate: options.Accumulate = 1,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate; the vectors' is a thousandth.")] = 1e-4,
    every: Annotated[
        int, typer.Option(min=1, help="Steps after which the rate is divided by ten. Published: 30000.")
    ] = 20_000,
    monitor: options.Monitor = "accuracy",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="bf16: mixed precision; proposals stay in fp32.")
    ] = "fp32",
    seed: options.Seed = 0,
    workers: options.Workers = 2,
    resume: options.Resume = False,
) -> None:
    """Train `apn`: suspicious frequency bands beside the image; with its defaults the paper's recipe.

    On several GPUs or machines: torchrun --nproc-per-node N --no-python assay train apn ...

    A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files that
    cannot be read are skipped, counted, and listed in unreadable.txt.
    """
    need_torch()
    from assay.trainers.fit.loop import FitSettings
    from assay.trainers.kinds.apn.fit import PurificationRun, make_fit
    from assay.trainers.kinds.apn.network import Branch

    given: tuple[tuple[Branch, Path | None], ...] = (
        ("spatial", weights_spatial),
        ("frequency", weights_frequency),
    )
    weights: dict[Branch, Path] = {branch: file for branch, file in given if file is not None}
    if size % 2:
        raise SetupError(f"--size must be even, not {size}")
    settings = FitSettings(
        epochs=epochs,
        rate=rate,
        accumulate=accumulate,
        schedule="staircase",
        every=every,
        monitor=monitor,
        precision=precision,
    )
    run = settle(
        PurificationRun,
        out,
        resume,
        lambda: PurificationRun(
            kind="apn",
            proposals=proposals,
            spatial=spatial,
            frequency=frequency,
            masks=masks,
            objective=objective,
            form=form,
            weights=", ".join(f"{branch}: {file.name}" for branch, file in weights.items()),
            data=data,
            min_side=min_side,
            recipe=recipe,
            size=size,
            batch=batch,
            seed=seed,
            fit=settings,
        ),
    )
    fit = make_fit(run, out, {} if resume else weights, workers)
    carry_out(fit, run, out, resume)
