"""`assay train probe`: a logistic layer on somebody's own backbone, as a calibrated bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch

console = Console(stderr=True)


def probe(
    backbone: Annotated[Path, typer.Option(help="ONNX file of a network: images in, an embedding out.")],
    data: options.Data,
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "probe",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[
        str, typer.Option(help="SPDX name of the licence of the weights: the backbone's binds you.")
    ] = "unknown",
    output: Annotated[
        str | None, typer.Option(help="Which output is the embedding. [default: the first of rank 2]")
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=1, help="Side of its images in pixels, where the file does not say.")
    ] = None,
    mean: Annotated[
        str, typer.Option(help="What is taken off pixels from 0 to 1, by channel, or `clip`.")
    ] = "0.485,0.456,0.406",
    std: Annotated[
        str, typer.Option(help="What they are then divided by, by channel, or `clip`.")
    ] = "0.229,0.224,0.225",
    views: Annotated[
        Literal["stored", "reduced", "both"],
        typer.Option(
            help="What it sees: a crop of stored pixels, the image made smaller, or both, averaged."
        ),
    ] = "both",
    recipe: Annotated[
        Literal["none", "cnn_aug", "shipped", "shared"],
        typer.Option(help="What is done to training images first; `shared` hides how files were stored."),
    ] = "shared",
    draws: Annotated[int, typer.Option(min=1, help="In how many ways each training image is altered.")] = 3,
    min_side: Annotated[int, typer.Option(min=1, help="Smaller images are rejected.")] = 64,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photographs of any one source called synthetic.")
    ] = 0.05,
    misses: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the synthetic images called authentic.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")] = 0,
) -> None:
    """Fit a logistic layer on the embedding of your own backbone, and write it as a calibrated bundle.

    The backbone stays as it is. Images go through the decoder, the views and the runtime that serve them.
    Trained on the split train and calibrated on val; of data without splits a fifth is held out, whole
    sources where there are several of each class.
    """
    need_torch()
    from assay.trainers.data.augment import recipe as steps_of
    from assay.trainers.data.samples import read_samples
    from assay.trainers.export.bundle import calibrated, write_manifest
    from assay.trainers.probe import card, fit
    from assay.trainers.probe.backbone import Backbone
    from assay.trainers.probe.features import extract

    if not backbone.is_file():
        raise SetupError(f"--backbone {backbone}: there is no such file")
    network = Backbone.read(backbone, output=output, side=side)
    rules = fit.view_rules(network.side, views, _three("mean", mean), _three("std", std))
    train, held_out = fit.split_samples(read_samples(data), seed)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("embedding", total=len(train))
        features = extract(
            network,
            train,
            rules,
            steps=steps_of(recipe, network.side),
            draws=draws if recipe != "none" else 1,
            seed=seed,
            min_side=min_side,
            advance=lambda count: progress.advance(task, count),
        )
    for path in features.unreadable:
        console.print(f"skipped, because it cannot be read or is too small: {path}", highlight=False)
    fitted = fit.fit_probe(features)
    graph = network.with_head(fitted.weights, fitted.bias)
    trained_on = card.training(backbone, network, features, fitted, recipe=recipe, draws=draws, seed=seed)
    named = {"name": name, "version": version, "licence": licence, "trained_on": trained_on}
    manifest = fit.manifest_of(network, rules, graph, min_side, **named)
    fit.write_graph(out, graph)
    done = calibrated(write_manifest(manifest, out), held_out, false_alarms=false_alarms, misses=misses)
    (out / "CARD.md").write_text(card.text(done.bundle.manifest, train, held_out, done), "utf-8")
    limits = done.bundle.manifest.thresholds
    console.print(
        f"{name} {version} in {out}: fitted on {len(train)} images; synthetic from "
        f"{limits.synthetic:.4f}, authentic up to {limits.authentic:.4f}; next: assay evaluate {out}",
        highlight=False,
        soft_wrap=True,
    )


CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
"""The pixels that OpenAI's CLIP and its like were trained with."""


def _three(option: str, text: str) -> tuple[float, ...]:
    """Raises SetupError where `text` is not three numbers or `clip`."""
    if text == "clip":
        return CLIP[option]
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise SetupError(f"--{option} takes three numbers such as 0.5,0.5,0.5, or clip, not {text!r}")
    return values
