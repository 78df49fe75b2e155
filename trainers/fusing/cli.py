"""`assay train fusing`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.engine.errors import SetupError
from assay.trainers.command import carry_out
from assay.trainers.needs import need_torch

Backbone = Literal["resnet50", "resnet18", "mobilenet_v2"]


def train_fusing(
    data: Annotated[
        Path,
        typer.Option(
            help="Data set, as for `assay train plain`; images may differ in size.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run: settings, log.csv, tensorboard/, last.pt, best.pt.")
    ],
    backbone: Annotated[Backbone, typer.Option(help="Network; resnet50 is the paper's.")] = "resnet50",
    patches: Annotated[
        Literal["selected", "random", "resized"],
        typer.Option(help="selected: the paper's. random, resized: its ablations RdmCrop and Rsz448."),
    ] = "selected",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Pretrained ImageNet weights of the backbone in torchvision's layout. Without, training "
            "starts from random weights; nothing is ever fetched."
        ),
    ] = None,
    recipe: Annotated[
        Literal["cnn_aug", "shipped", "none"],
        typer.Option(help="Augmentation. cnn_aug: the paper's (10 % blur, 10 % JPEG, flips)."),
    ] = "cnn_aug",
    epochs: Annotated[int, typer.Option(min=1, help="At most so many epochs.")] = 100,
    batch: Annotated[
        int, typer.Option(min=2, help="Images a step, over all processes. The published script: 128.")
    ] = 64,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Compute a step in so many parts, for less memory.")
    ] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate. The published script: 5e-5.")] = 1e-4,
    optimizer: Annotated[
        Literal["adam", "sgd"], typer.Option(help="The published code offers both.")
    ] = "adam",
    schedule: Annotated[
        Literal["plateau", "cosine"],
        typer.Option(help="plateau: divide the rate when patience runs out. cosine: fall to zero."),
    ] = "plateau",
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
    monitor: Annotated[
        Literal["accuracy", "map"], typer.Option(help="Validated figure that picks the best epoch.")
    ] = "accuracy",
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.0,
    average: Annotated[
        float,
        typer.Option(min=0, max=1, help="Decay of a running mean of the weights that is kept; 0: none."),
    ] = 0.0,
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="bf16: mixed precision, weights staying fp32.")
    ] = "fp32",
    seed: Annotated[int, typer.Option(help="Same seed, data and machine: same weights.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and augment, for each rank.")] = 2,
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in --out, with the settings it has.")
    ] = False,
) -> None:
    """Train `fusing`: the whole image and its strongest patches; with its defaults the paper's recipe.

    On several GPUs or machines: torchrun --nproc-per-node N --no-python assay train fusing ...

    A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files that
    cannot be read are skipped, counted, and listed in unreadable.txt.
    """
    need_torch()
    from assay.trainers.fit import LAST, FitSettings
    from assay.trainers.fusing.fit import FusingRun, make_fit

    if resume:
        run = FusingRun.read(out)
    elif (out / LAST).exists():
        raise SetupError(f"{out} holds a run already: go on with --resume, or name another folder")
    else:
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
        run = FusingRun(
            kind="fusing",
            backbone=backbone,
            patches=patches,
            weights=weights.name if weights else "",
            data=data,
            recipe=recipe,
            batch=batch,
            seed=seed,
            fit=settings,
        )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume)
