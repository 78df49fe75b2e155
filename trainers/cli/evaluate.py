"""`assay evaluate`: a bundle judged as it is served."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from assay.trainers.cli import options

console = Console(stderr=True)


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
