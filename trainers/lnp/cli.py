"""`assay train denoiser`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.trainers import options
from assay.trainers.command import carry_out, settle
from assay.trainers.needs import need_torch


def train_denoiser(
    data: Annotated[
        Path,
        typer.Option(
            help="Data set, as for `assay train plain`; only its photographs are used.", show_default=False
        ),
    ],
    out: options.Out,
    network: Annotated[
        Literal["student", "cycleisp"],
        typer.Option(help="student: small, for CPUs. cycleisp: the papers' network, for a GPU."),
    ] = "student",
    rrg: Annotated[int, typer.Option(min=1, help="Groups of the cycleisp network.")] = 4,
    dab: Annotated[
        int, typer.Option(min=1, help="Blocks of a group. The published code has 8, the face paper 2.")
    ] = 8,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published weights of the cycleisp network to start from; nothing is ever fetched."
        ),
    ] = None,
    crop: Annotated[int, typer.Option(min=32, help="Side of training crops in pixels.")] = 64,
    crops: Annotated[int, typer.Option(min=1, help="Crops of each photograph in an epoch.")] = 16,
    epochs: options.Epochs = 30,
    batch: Annotated[int, typer.Option(min=2, help="Crops a step, over all processes.")] = 32,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of Adam.")] = 1e-3,
    schedule: options.Schedule = "cosine",
    patience: options.Patience = 0,
    average: options.Average = 0.0,
    precision: options.Precision = "fp32",
    seed: options.Seed = 0,
    workers: options.Workers = 2,
    resume: options.Resume = False,
) -> None:
    """Train the denoiser of `lnp` on photographs with synthetic camera noise.

    Each epoch reports the PSNR of what it denoises beside that of the noisy images and of a Gaussian filter.
    A run that is stopped goes on with --resume and ends with the same weights as one that was not.
    """
    need_torch()
    from assay.trainers.fit import FitSettings
    from assay.trainers.lnp.denoiser import DenoiserRun, make_fit

    settings = FitSettings(
        epochs=epochs,
        rate=rate,
        optimizer="adam",
        schedule=schedule,
        patience=patience,
        monitor="psnr",
        delta=0.01,
        precision=precision,
        average=average,
    )
    run = settle(
        DenoiserRun,
        out,
        resume,
        lambda: DenoiserRun(
            kind="denoiser",
            weights=weights.name if weights else "",
            data=data,
            recipe="none",
            batch=batch,
            seed=seed,
            fit=settings,
            network=network,
            rrg=rrg,
            dab=dab,
            crop=crop,
            crops=crops,
        ),
    )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume, best="{:.2f} dB")
