"""`assay train fusing`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch
from assay.trainers.cli.run import carry_out, settle

Backbone = Literal["resnet50", "resnet18", "mobilenet_v2"]


def train_fusing(
    data: options.Data,
    out: options.Out,
    min_side: options.MinSide = 0,
    backbone: Annotated[Backbone, typer.Option(help="Network; resnet50 is the paper's.")] = "resnet50",
    patches: Annotated[
        Literal["selected", "random", "resized"],
        typer.Option(help="selected: the paper's. random, resized: its ablations RdmCrop and Rsz448."),
    ] = "selected",
    crop: Annotated[
        int,
        typer.Option(
            min=32, max=224, help="Train on the middle of each patch, so many pixels a side: less is faster."
        ),
    ] = 224,
    weights: Annotated[
        Path | None,
        typer.Option(help=f"{options.WEIGHTS_HELP.format('backbone')} Or the .onnx of a `plain` bundle."),
    ] = None,
    hold_statistics: Annotated[
        bool,
        typer.Option(
            "--hold-statistics",
            help="Leave the statistics of batch normalisation as they are in the pretrained weights.",
        ),
    ] = False,
    backbone_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the rate, what the backbone learns by; 0: it stays as it is."),
    ] = 1.0,
    recipe: options.Recipe = "cnn_aug",
    altered_validation: options.Altered = False,
    epochs: options.Epochs = 100,
    batch: Annotated[
        int, typer.Option(min=2, help="Images a step, over all processes. The published script: 128.")
    ] = 64,
    accumulate: options.Accumulate = 1,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate. The published script: 5e-5.")] = 1e-4,
    optimizer: Annotated[
        Literal["adam", "sgd"], typer.Option(help="The published code offers both.")
    ] = "adam",
    schedule: options.Schedule = "plateau",
    patience: Annotated[
        int, typer.Option(min=0, help="Epochs without improvement to wait for; 0: for ever. Published: 10.")
    ] = 5,
    divide: Annotated[
        float, typer.Option(min=1, help="By what plateau divides the rate. The published code: 2.")
    ] = 10.0,
    endless: Annotated[
        bool, typer.Option(help="Go on at a rate of 1e-6 instead of stopping, as the published code does.")
    ] = False,
    delta: Annotated[
        float, typer.Option(min=0, help="By how much an epoch must improve to count. Published: 1e-4.")
    ] = 1e-3,
    monitor: options.Monitor = "accuracy",
    weight_decay: options.WeightDecay = 0.0,
    average: options.Average = 0.0,
    precision: options.Precision = "fp32",
    seed: options.Seed = 0,
    workers: options.Workers = 2,
    resume: options.Resume = False,
) -> None:
    """Train `fusing`: the whole image and its strongest patches; with its defaults the paper's recipe.

    On several GPUs or machines: torchrun --nproc-per-node N --no-python assay train fusing ...

    A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files that
    cannot be read are skipped, counted, and listed in unreadable.txt.
    """
    need_torch()
    from assay.trainers.fit.loop import FitSettings
    from assay.trainers.kinds.fusing.fit import FusingRun, make_fit

    settings = FitSettings(
        epochs=epochs,
        rate=rate,
        optimizer=optimizer,
        weight_decay=weight_decay,
        accumulate=accumulate,
        schedule=schedule,
        patience=patience,
        divide=divide,
        endless=endless,
        delta=delta,
        monitor=monitor,
        precision=precision,
        average=average,
    )
    run = settle(
        FusingRun,
        out,
        resume,
        lambda: FusingRun(
            kind="fusing",
            backbone=backbone,
            patches=patches,
            crop=crop,
            hold_statistics=hold_statistics,
            backbone_share=backbone_share,
            weights=weights.name if weights else "",
            data=data,
            min_side=min_side,
            recipe=recipe,
            altered=altered_validation,
            batch=batch,
            seed=seed,
            fit=settings,
        ),
    )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume)
