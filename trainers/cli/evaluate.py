"""`assay evaluate`: bundles judged as they are served."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from assay.engine.errors import SetupError
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch

console = Console(stderr=True)


def evaluate(
    bundles: Annotated[
        list[str], typer.Argument(help="Bundles: folders, or names of those that ship with Assay.")
    ],
    data: options.Data,
    split: Annotated[list[str] | None, typer.Option(help="Splits to judge. [default: all but train]")] = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    as_stored: Annotated[
        bool, typer.Option("--as-stored", help="Judge the files as they are: the default without --alike.")
    ] = False,
    alike: Annotated[
        bool,
        typer.Option(
            "--alike", help="Re-encode both classes by one rule first: 1024 pixels at most, JPEG quality 80."
        ),
    ] = False,
    sweep: Annotated[
        str,
        typer.Option(
            help="Damage at rising strength to judge under, such as jpeg,blur; of jpeg, webp, blur, resize, "
            "crop, screenshot. Each level scores all images once more."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report as Markdown, HTML, JSON, CSV and plots.")
    ] = None,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
    record: Annotated[
        bool, typer.Option(help="Write mAP and label shares, as stored, into each bundle's manifest.")
    ] = False,
) -> None:
    """Judge bundles as they are served, on the same files and in the same tables.

    Each report begins with what format, size or JPEG quality alone give away about these files. Then come
    ranking (AUC, average precision), labels at the served thresholds and calibration, with 95 % intervals and
    with the worst generator and source beside the means; then the same by pool, generator, source of
    photographs and shorter side.

    `assay data` builds a pool for each split and view; in other data a pool is the folder that photographs
    and synthetic images share. With --split and --min-side all tables are of these images alone.
    """
    need_torch()
    from assay.engine.bundle import find
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.evaluate import judge
    from assay.trainers.evaluate import sweep as sweeps
    from assay.trainers.evaluate.content import sections
    from assay.trainers.evaluate.markdown import markdown
    from assay.trainers.evaluate.means import Means, ready
    from assay.trainers.evaluate.report import figures, open_folder, write_report
    from assay.trainers.evaluate.result import Report, result, stored
    from assay.trainers.evaluate.treatment import ALIKE, AS_STORED
    from assay.trainers.export.bundle import write_manifest

    treatments = [AS_STORED] * (as_stored or not alike) + [ALIKE] * alike
    if record and AS_STORED not in treatments:
        raise SetupError("--record writes figures of the files as stored: give --as-stored beside --alike")
    if len(set(bundles)) < len(bundles):
        raise SetupError(f"{max(bundles, key=bundles.count)} is named twice: its figures would be the same")
    damages = sweeps.chosen(sweep) if sweep else []
    chosen = judge.named({name: find(name) for name in bundles})
    means = Means(device, executor, precision)
    made = {name: ready(bundle, means) for name, bundle in chosen.items()}
    samples = read_samples(data, min_side, only or ())
    splits = sorted(set(split or {sample.split for sample in samples} - {"train"}))
    if not splits:
        raise SetupError(f"{data} holds images of the split train alone: judge them with --split train")
    samples = of_split(samples, *splits)
    if out:
        open_folder(out)
    cases: list[judge.Case] = []
    with Progress(console=console, transient=True) as progress:
        passes = judge.passes(treatments, damages)
        for name, bundle in chosen.items():
            task = progress.add_task(name, total=len(samples) * passes)
            cases += judge.judge(
                name,
                bundle,
                made[name].graphs,
                made[name].precision,
                samples,
                treatments,
                damages,
                lambda count, task=task: progress.advance(task, count),  # type: ignore[misc]
                made[name].detect,
            )
    nowhere = judge.refused(cases)
    seen = [sample for sample in samples if sample.path not in nowhere]
    report = Report(
        schema=1,
        data=str(data),
        splits=splits,
        min_side=min_side,
        stored=[stored(treatment, seen) for treatment in treatments],
        results=[result(case) for case in cases],
    )
    typer.echo(markdown(sections(report)))
    if out:
        write_report(report, cases, out)
    for case in cases if record else []:
        if case.treatment is AS_STORED:
            metrics = figures(case.evaluation)
            write_manifest(case.bundle.manifest.model_copy(update={"metrics": metrics}), case.bundle.path)
