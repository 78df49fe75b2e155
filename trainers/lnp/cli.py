"""`assay train denoiser`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.engine.errors import SetupError
from assay.trainers.command import carry_out
from assay.trainers.needs import need_torch


def train_denoiser(
    data: Annotated[
        Path,
        typer.Option(
            help="Data set, as for `assay train plain`; only its photographs are used.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run: settings, log.csv, TensorBoard events, last.pt, best.pt.")
    ],
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
    epochs: Annotated[int, typer.Option(min=1, help="At most so many epochs.")] = 30,
    batch: Annotated[int, typer.Option(min=2, help="Crops a step, over all processes.")] = 32,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of Adam.")] = 1e-3,
    schedule: Annotated[
        Literal["plateau", "cosine"],
        typer.Option(help="plateau: divide the rate when patience runs out. cosine: fall to zero."),
    ] = "cosine",
    patience: Annotated[
        int, typer.Option(min=0, help="Epochs without improvement to wait for; 0: for ever.")
    ] = 0,
    average: Annotated[
        float,
        typer.Option(min=0, max=1, help="Decay of a running mean of the weights that is kept; 0: none."),
    ] = 0.0,
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="bf16: mixed precision, weights staying fp32.")
    ] = "fp32",
    seed: Annotated[int, typer.Option(help="Same seed, data and machine: same weights.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that read and add noise, for each rank.")
    ] = 2,
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in --out, with the settings it has.")
    ] = False,
) -> None:
    """Train the denoiser of `lnp` on photographs with synthetic camera noise.

    Each epoch reports the PSNR of what it denoises beside that of the noisy images and of a Gaussian filter.
    A run that is stopped goes on with --resume and ends with the same weights as one that was not.
    """
    need_torch()
    from assay.trainers.fit import LAST, FitSettings
    from assay.trainers.lnp.denoiser import DenoiserRun, make_fit

    if resume:
        run = DenoiserRun.read(out)
    elif (out / LAST).exists():
        raise SetupError(f"{out} holds a run already: go on with --resume, or name another folder")
    else:
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
        run = DenoiserRun(
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
        )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume, best="{:.2f} dB")
