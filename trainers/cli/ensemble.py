"""`assay train ensemble`: several bundles in one, with a fitted layer on their logits."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch

console = Console(stderr=True)


def ensemble(
    members: Annotated[
        list[str],
        typer.Argument(help="Bundles: folders, or names of those that ship with Assay; the cheapest first."),
    ],
    data: options.Data,
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "ensemble",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[
        str | None,
        typer.Option(
            help="SPDX expression of the licence. [default: those of the members]", show_default=False
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Splits to fit on, which no member was trained on. [default: val]"),
    ] = None,
    stop: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Let the first member decide alone where it is sure, so that at most this share of the "
            "images gets another label; 0: all members are always asked.",
        ),
    ] = 0.0,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photographs of any one source called synthetic.")
    ] = 0.05,
    misses: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the synthetic images called authentic.")
    ] = 0.05,
) -> None:
    """Join bundles: fit a logistic layer on their logits, and write them as one calibrated bundle.

    Graphs are copied into the new folder, so that it can be signed and served by itself.
    """
    need_torch()
    from assay.engine.bundle import find
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.ensemble import card
    from assay.trainers.ensemble.assemble import assemble, check_members, score_members, with_stop
    from assay.trainers.ensemble.layer import compare, fit_layer, fit_stop
    from assay.trainers.export.bundle import calibrated

    bundles = [find(member) for member in members]
    check_members(bundles)
    samples = of_split(read_samples(data), *(split or ["val"]))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=len(samples) * (len(bundles) + 1))
        scored, logits = score_members(bundles, samples, lambda count: progress.advance(task, count))
        layer = fit_layer(logits, scored.labels)
        compared = compare(logits, scored, [bundle.name for bundle in bundles])
        bundle = assemble(
            bundles,
            layer,
            out,
            name=name,
            version=version,
            licence=licence or " AND ".join(sorted({one.manifest.licence for one in bundles})),
            trained_on={"layer": len(scored.samples), "held_out_loss": dict(compared.losses)},
        )
        done = calibrated(
            bundle,
            scored.samples,
            false_alarms=false_alarms,
            misses=misses,
            advance=lambda count: progress.advance(task, count),
        )
    bundle, stopped = done.bundle, ""
    if stop:
        manifest = bundle.manifest
        found = fit_stop(logits, scored, layer, manifest.calibration, manifest.thresholds, stop)
        if found:
            bundle = with_stop(bundle, found)
            enough = sum(map(found.sure, logits[:, 0].tolist())) / len(logits)
            stopped = f"On the images that it was fitted on that is {enough:.0%}."
        console.print(stopped or f"{bundles[0].name} is nowhere sure enough to decide alone")
    (out / "CARD.md").write_text(card.text(bundle, scored.samples, compared, done, stopped), "utf-8")
    for member, weight in zip(bundles, layer.weights, strict=True):
        console.print(f"{member.name} {member.version}: weight {weight:.4f}", highlight=False)
    if compared.losses:
        losses = ", ".join(f"{one} {loss:.4f}" for one, loss in compared.losses.items())
        console.print(f"cross-entropy on held-out {compared.folds}: {losses}", highlight=False)
    limits = bundle.manifest.thresholds
    console.print(
        f"{name} {version} in {out}: synthetic from {limits.synthetic:.4f}, authentic up to "
        f"{limits.authentic:.4f}; next: assay evaluate {out}",
        highlight=False,
    )
