"""`assay train denoiser` and `assay train lnp`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch
from assay.trainers.cli.run import carry_out, settle


def train_denoiser(
    data: Annotated[
        Path,
        typer.Option(
            help="Data set, as for `assay train plain`; only its photographs are used.", show_default=False
        ),
    ],
    out: options.Out,
    min_side: options.MinSide = 0,
    network: Annotated[
        Literal["student", "cycleisp"],
        typer.Option(help="student: small, for CPUs. cycleisp: the papers' network, for a GPU."),
    ] = "student",
    rrg: Annotated[int, typer.Option(min=1, help="Groups of the cycleisp network.")] = 4,
    dab: Annotated[
        int, typer.Option(min=1, help="Blocks of a group. The published code has 8, the face paper 2.")
    ] = 8,
    objective: Annotated[
        Literal["psnr", "l1"],
        typer.Option(help="psnr: logarithm of each image's squared error. l1: absolute error, as CycleISP."),
    ] = "psnr",
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
    from assay.trainers.fit.loop import FitSettings
    from assay.trainers.kinds.lnp.denoiser.fit import DenoiserRun, make_fit

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
            min_side=min_side,
            recipe="none",
            batch=batch,
            seed=seed,
            fit=settings,
            network=network,
            objective=objective,
            rrg=rrg,
            dab=dab,
            crop=crop,
            crops=crops,
        ),
    )
    fit = make_fit(run, out, None if resume else weights, workers)
    carry_out(fit, run, out, resume, best="{:.2f} dB")


def train_lnp(
    data: options.Data,
    out: options.Out,
    min_side: options.MinSide = 0,
    denoiser: Annotated[
        Path | None,
        typer.Option(
            help="What finds the noise: the folder of a run of `assay train denoiser`, or a file of "
            "CycleISP's published weights. It is not trained any further.",
            show_default=False,
        ),
    ] = None,
    classifier: Annotated[
        Literal["mobilenet_v2", "resnet34", "resnet50"],
        typer.Option(help="The paper compares the three and takes mobilenet_v2."),
    ] = "mobilenet_v2",
    weights: Annotated[Path | None, typer.Option(help=options.WEIGHTS_HELP.format("classifier"))] = None,
    attended: Annotated[
        Literal["spectra", "all", "none"],
        typer.Option(help="What channel attention weighs: the spectra (the paper's), all channels, nothing."),
    ] = "spectra",
    attention: Annotated[
        Literal["normalised", "paper", "danet"],
        typer.Option(help="How: by correlation, or by the raw products of the paper or of DANet's code."),
    ] = "normalised",
    channels: Annotated[
        Literal["1", "3"], typer.Option(help="Channels of a spectrum: grey (the paper's) or by colour.")
    ] = "1",
    scaling: Annotated[
        Literal["log", "paper", "published"],
        typer.Option(
            help="Of spectra. log: logarithm, centred. paper: divided by the number of pixels, as it is. "
            "published: power 0.8, centred, as in the code of Liu et al."
        ),
    ] = "log",
    form: Annotated[
        Literal["raw", "published"],
        typer.Option(help="Of patterns. raw: floats. published: 8 bits, as the code of Liu et al. has them."),
    ] = "raw",
    size: Annotated[int, typer.Option(min=32, help="Side of a view in pixels.")] = 256,
    resize: Annotated[
        Literal["none", "short_side"],
        typer.Option(help="none: views of original pixels. short_side: of the image at that size."),
    ] = "none",
    sam: Annotated[
        Path | None,
        typer.Option(
            help="Folder of Segment Anything's weights as transformers saves them: the face is cut out. "
            "Without, images stay whole; nothing is ever fetched."
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(help="A point on the face, Y,X as fractions; may be repeated. [default: 0.5,0.5]"),
    ] = None,
    mask: Annotated[
        Literal["best", "largest", "smallest"],
        typer.Option(help="Which of SAM's three masks; best: the one that it trusts most."),
    ] = "best",
    outside: Annotated[
        Literal["black", "grey", "mean"], typer.Option(help="What replaces all but the face.")
    ] = "black",
    recipe: options.Recipe = "none",
    ways: Annotated[
        int, typer.Option(min=1, help="In how many ways an image is cut and altered, each denoised once.")
    ] = 1,
    turn: Annotated[
        bool, typer.Option("--turn", help="Turn and mirror kept patterns, so that they differ every time.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for masks and patterns, which runs may share. [default: OUT/cache]"),
    ] = None,
    epochs: options.Epochs = 100,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, over all processes.")] = 64,
    accumulate: options.Accumulate = 1,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of AdamW.")] = 1e-4,
    schedule: options.Schedule = "plateau",
    patience: options.Patience = 5,
    monitor: options.Monitor = "accuracy",
    weight_decay: options.WeightDecay = 0.0,
    average: options.Average = 0.0,
    precision: options.Precision = "fp32",
    seed: options.Seed = 0,
    workers: options.Workers = 2,
    resume: options.Resume = False,
) -> None:
    """Train `lnp`: noise patterns and their spectra; with its defaults the face paper's network.

    The paper names no optimiser: steps are those of CNNDetection, by which Liu et al. trained. Patterns are
    computed once for each way of each image and kept, 0.8 MB each at 256 pixels.

    On several GPUs or machines: torchrun --nproc-per-node N --no-python assay train lnp ...

    A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files that
    cannot be read are skipped, counted, and listed in unreadable.txt.
    """
    need_torch()
    from assay.trainers.fit.loop import FitSettings
    from assay.trainers.kinds.lnp.face_cutter import CutSettings
    from assay.trainers.kinds.lnp.fit import SCALINGS, PatternRun, make_fit

    if denoiser is None and not resume:
        raise SetupError("name a --denoiser: a run of `assay train denoiser`, or a file of its weights")
    settings = FitSettings(
        epochs=epochs,
        rate=rate,
        accumulate=accumulate,
        schedule=schedule,
        patience=patience,
        monitor=monitor,
        weight_decay=weight_decay,
        average=average,
        precision=precision,
    )
    spectra = SCALINGS[scaling]
    run = settle(
        PatternRun,
        out,
        resume,
        lambda: PatternRun(
            kind="lnp",
            weights=weights.name if weights else "",
            data=data,
            min_side=min_side,
            recipe=recipe,
            batch=batch,
            seed=seed,
            fit=settings,
            classifier=classifier,
            attended=attended,
            attention=attention,
            spectra=spectra if channels == "1" else spectra.model_copy(update={"grey": None}),
            form=form,
            size=size,
            resize=resize,
            ways=ways,
            turn=turn,
            sam=sam,
            cut=CutSettings(points=_points(point), choice=mask, outside=outside),
            cache=cache or out / "cache",
        ),
    )
    fit = make_fit(run, out, None if resume else weights, None if resume else denoiser, workers)
    carry_out(fit, run, out, resume)


def _points(given: list[str] | None) -> tuple[tuple[float, float], ...]:
    """Points as CutSettings takes them. Raises SetupError where one is not Y,X in 0..1."""
    points = []
    for text in given or ["0.5,0.5"]:
        try:
            y, x = map(float, text.split(","))
        except ValueError:
            raise SetupError(f"--point {text!r} is not Y,X, such as 0.5,0.5") from None
        if not (0 <= y <= 1 and 0 <= x <= 1):
            raise SetupError(f"--point {text!r} lies outside the image: Y and X are fractions from 0 to 1")
        points.append((y, x))
    return tuple(points)
