"""`assay study`: one command for each table or figure; each writes Markdown, CSV and a plot to a folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.engine.commands.group import commands
from assay.engine.report.markdown import table
from assay.trainers.cli import options
from assay.trainers.cli import study_apn as apn_cli
from assay.trainers.cli import study_pictures as pictures
from assay.trainers.cli.needs import bundle_of, need_torch
from assay.trainers.study.results import grid, left_out, plot, write

app = commands("Reproduce the tables and figures of the papers.")

Methods = Annotated[
    list[str], typer.Argument(help="NAME=FOLDER of a training run or NAME=BUNDLE, one for each method.")
]
Data = Annotated[Path, typer.Option(help="Data set, as for `assay evaluate`.")]
Split = Annotated[list[str] | None, typer.Option(help="Splits to judge. [default: test]")]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]


@app.command("generators")
def generators(
    methods: Methods,
    data: Data,
    out: Out,
    split: Split = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Average precision by family of generators, Total mAP and Global AP (table 2 of the Fusing paper).

    The same images by their shorter side are a table beside it.
    """
    need_torch()
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import sizes
    from assay.trainers.study import table as study
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import left_out_by, methods_of

    samples = of_split(read_samples(data, min_side, only or ()), *(split or ["test"]))
    means = Means(device, executor, precision)
    compared = methods_of(methods, means, Kept(out))
    scored = [(one.name, one.score(samples, None)) for one in compared]
    lines = [study.line(*one) for one in scored]
    text = study.markdown(lines)
    write(out, "generators", text, study.records(lines))
    by_size = sizes.records(scored)
    write(out, "sizes", grid(by_size), by_size)
    names, dots = study.dots(lines)
    plot(out / "generators.png", dots, "", "average precision in %", names)
    left_out(out, left_out_by(compared))
    typer.echo(f"{text}\n{grid(by_size)}")


@app.command("robustness")
def robustness(
    methods: Methods,
    data: Data,
    out: Out,
    to: Annotated[Literal["blur", "jpeg"], typer.Option(help="What is done to the images.")],
    split: Split = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Total mAP on images blurred or compressed ever more strongly (figure 3 of the Fusing paper).

    The first point of each curve are the images as they are.
    """
    need_torch()
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import robustness as study
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import left_out_by, methods_of

    samples = of_split(read_samples(data, min_side, only or ()), *(split or ["test"]))
    points = study.strengths(to)
    means = Means(device, executor, precision)
    compared = methods_of(methods, means, Kept(out))
    found = study.curves(compared, samples, points)
    header = ["method", *(f"{to} {point.name}" for point in points)]
    rows = [[name, *(round(value, 3) for _, value in curve)] for name, curve in found.items()]
    text = table([header, *rows])
    write(out, f"robustness_{to}", text, [header, *rows])
    label = "Gaussian blur, standard deviation in pixels" if to == "blur" else "JPEG quality"
    ticks = {point.place: point.name for point in points}
    plot(out / f"robustness_{to}.png", found, label, "Total mAP in %", ticks=ticks)
    left_out(out, left_out_by(compared))
    typer.echo(text)


@app.command("patches")
def patches(
    bundle: Annotated[str, typer.Argument(help="Fusing bundle: a folder or the name of a shipped one.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    out: Out,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Pictures of the selected patches: a sheet, and each patch with its attention as Markdown and CSV."""
    need_torch()
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import patches as study

    chosen = bundle_of("fusing", bundle, "selects no patches")
    photos = pictures.read_all(images, chosen.manifest.min_side)
    found = study.looked_at(chosen, list(photos.values()), Means(device, executor, precision))
    seen = {name: (photos[name], one.evidence) for name, one in zip(photos, found, strict=True)}
    header = ["image", "patch", "top", "left", "bottom", "right", "attention"]
    rows = [
        [name, number, *patch["box"], patch["attention"]]
        for name, (_, evidence) in seen.items()
        for number, patch in enumerate(evidence["patches"], start=1)
    ]
    text = table([header, *rows])
    write(out, "patches", text, [header, *rows])
    study.sheet(seen).save(out / "patches.png")
    typer.echo(text)


@app.command("faces")
def faces(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs of `assay train lnp`, seeds together.")],
    data: Data,
    out: Out,
    vary: Annotated[
        Literal["nothing", "sam", "channels", "attention"],
        typer.Option(help="What runs differ in beside the classifier: tables 1 and 2, 4, 5, 6 of the paper."),
    ] = "nothing",
    split: Split = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    device: options.Device = "auto",
) -> None:
    """Accuracy of noise-pattern networks by classifier (tables 1, 2, 4, 5 and 6 of the face paper).

    The table follows from the settings of the runs; runs that differ in more than it is about are refused. Of
    runs that differ in their seed alone the mean is shown. Table 1 is of --split val. Running times are left
    out: a run's log has those of the patterns and masks that its cache already held.
    """
    need_torch()
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.study import faces as study
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import left_out_by

    samples = of_split(read_samples(data, min_side, only or ()), *(split or ["test"]))
    found, judged = study.evaluate(runs, samples, vary, device, Kept(out))
    text = table(study.table(found))
    write(out, f"faces_{vary}", text, study.records(found))
    names, curves = study.dots(found)
    plot(out / f"faces_{vary}.png", curves, "", "accuracy in %", names)
    left_out(out, left_out_by(judged))
    typer.echo(text)


app.command("cross-generator")(apn_cli.cross_generator)
app.command("shared-photographs")(apn_cli.shared_photographs)
app.command("cross-scene")(apn_cli.cross_scene)
app.command("ablations")(apn_cli.ablations)
app.command("proposals")(pictures.proposals)
app.command("features")(pictures.features)
app.command("purified")(pictures.purified)
app.command("patterns")(pictures.patterns)
