"""`assay study`: figures that show what networks see."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.trainers.cli import options
from assay.trainers.cli.needs import bundle_of, need_torch
from assay.trainers.cli.study_apn import Out, Split, pair_of
from assay.trainers.study.results import grid, left_out, write

if TYPE_CHECKING:
    from assay.trainers.data.augment import Pixels

Data = Annotated[Path, typer.Option(help="Data set, as for `assay evaluate`.")]
Other = Annotated[Path | None, typer.Option(help="Data set of another scene.")]
Scene = Annotated[str, typer.Option(help="Of --other, the scene by its folder.")]
OtherSplit = Annotated[str, typer.Option(help="Split of --other to look at.")]
Images = Annotated[list[Path], typer.Argument(help="Image files.")]


def proposals(
    bundle: Annotated[str, typer.Argument(help="APN bundle: a folder or the name of a shipped one.")],
    data: Data,
    out: Out,
    split: Split = None,
    only: options.Only = None,
    other: Other = None,
    other_split: OtherSplit = "test",
    scene: Scene = "lsun_bedroom",
    pair: Annotated[
        str, typer.Option(help="With --other, the one generator to look at: its names in both, A=B.")
    ] = "stable_diffusion_v_1_4=sdv1",
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Which frequencies the proposals trust in each generator's images (figure 4 of the APN paper).

    Curves, and how alike they are. With --other the curves are those of one generator in two scenes.
    """
    need_torch()
    from assay.trainers.data.samples import of_scene, of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import proposals as study
    from assay.trainers.study.accuracy import need_generators
    from assay.trainers.study.figures import curves_and_correlations
    from assay.trainers.study.kept import Kept

    chosen = bundle_of("apn", bundle, "proposes no bands")
    samples = of_split(read_samples(data, only=only or ()), *(split or ["val"]))
    if other is not None:
        here, there = pair_of(pair)
        found = of_scene(of_split(read_samples(other), other_split), scene)
        both = ((samples, here, "trained scene"), (found, there, scene))
        for those, generator, _ in both:
            need_generators(those, [generator])
        samples = [
            replace(one, group=f"{here}, {name}")
            for those, generator, name in both
            for one in those
            if one.label and one.group == generator
        ]
    curves, refused = study.trusted(chosen, samples, Means(device, executor, precision), Kept(out))
    if not curves:
        raise SetupError(f"no synthetic image of {data} could be scored: corrupt or too small")
    side = chosen.manifest.view.size
    places = [round(place / side, 5) for place in range(side // 2 + 1)]
    alike = study.correlations(curves)
    table = [[name, *(f"{value:.3f}" for value in row)] for name, row in zip(curves, alike, strict=True)]
    text = grid([["correlation", *curves], *table])
    rows = ([name, *curve] for name, curve in curves.items())
    write(out, "proposals", text, [["generator", *places], *rows])
    lines = {name: list(zip(places, curve.tolist(), strict=True)) for name, curve in curves.items()}
    curves_and_correlations(out / "proposals.png", lines, alike, "cycles per pixel", "share of confidence")
    left_out(out, {chosen.name: refused})
    typer.echo(text)


def features(
    runs: Annotated[
        list[str],
        typer.Argument(help="NAME=FOLDER of runs of `assay train apn`, one for each row of the figure."),
    ],
    data: Data,
    out: Out,
    split: Split = None,
    other: Other = None,
    other_split: OtherSplit = "test",
    scene: Scene = "lsun_bedroom",
    only: options.Only = None,
    images: Annotated[int, typer.Option(min=5, help="Of each class at most so many images.")] = 300,
    device: options.Device = "auto",
) -> None:
    """Features relevant and irrelevant to artifacts, laid out by t-SNE (figure 3 of the APN paper).

    A row for each run, such as one with implicit purification and one without (`assay train apn --form
    no_implicit`), and a column for each data set.
    """
    need_torch()
    import numpy as np

    from assay.trainers.data.samples import of_scene, of_split, read_samples
    from assay.trainers.fit.device import device_of
    from assay.trainers.kinds.apn.fit import trained
    from assay.trainers.study import features as study
    from assay.trainers.study.figures import clouds
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import decides_of

    sets = {data.name: of_split(read_samples(data, only=only or ()), *(split or ["val"]))}
    if other is not None:
        sets[f"{other.name} (other)" if other.name in sets else other.name] = of_scene(
            of_split(read_samples(other), other_split), scene
        )
    panels, refused, kept = {}, {}, Kept(out)
    rows: list[list[object]] = [["method", "data", "kind", "x", "y"]]
    for text in runs:
        name, path = pair_of(text, "NAME=FOLDER, such as with=runs/apn")
        network = trained(Path(path))[1].to(device_of(device)).eval()
        for title, samples in sets.items():
            some = study.chosen(samples, images)
            decides = {**decides_of(Path(path), device), "what": "features"}
            found = kept.arrays(
                f"{name}, {title}",
                decides,
                some,
                partial(study.looked_at, network),
            )
            taken = found["taken"].astype(bool)
            labels = np.array([one.label for one, there in zip(some, taken, strict=True) if there], np.int64)
            panels[name, title] = laid = study.laid_out(found, labels)
            rows += [[name, title, one.name, *place] for one in laid for place in one.points.tolist()]
            refused[name] = [one.path for one, there in zip(some, taken, strict=True) if not there]
    names = dict.fromkeys(name for name, _ in panels)
    counts = [
        [name, *(sum(len(one.points) for one in panels[name, title]) // 2 for title in sets)]
        for name in names
    ]
    text = grid([["images", *sets], *counts])
    write(out, "features", text, rows)
    clouds(out / "features.png", panels)
    left_out(out, refused)
    typer.echo(text)


def purified(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `assay train apn`.")],
    images: Images,
    out: Out,
    device: options.Device = "auto",
) -> None:
    """Pictures: view, activation map and most trusted purified images (figures 5 and 6 of the APN paper).

    heat.png is figure 5, purified.png figure 6; heat maps are on one scale. Probabilities are the network's
    own, before calibration.
    """
    need_torch()
    from assay.trainers.fit.device import device_of
    from assay.trainers.kinds.apn.fit import trained
    from assay.trainers.study import purified as study

    record, network = trained(run)
    if record.form != "whole":
        raise SetupError(f"{run}: form {record.form!r} is an ablation, which has not all that is drawn")
    network.to(device_of(device))
    found = {name: study.seen(network, pixels) for name, pixels in read_all(images).items()}
    count = max(len(one.confidence) for one in found.values())
    header = ["image", "probability", *(f"confidence {place + 1}" for place in range(count))]
    cells = [
        [name, f"{one.probability:.4f}", *(f"{value:.4f}" for value in one.confidence)]
        for name, one in found.items()
    ]
    text = grid([header, *cells])
    write(out, "purified", text, [header, *cells])
    study.heat_page(found).save(out / "heat.png")
    study.purified_page(found).save(out / "purified.png")
    typer.echo(text)


def patterns(
    bundle: Annotated[str, typer.Argument(help="LNP bundle: a folder or the name of a shipped one.")],
    images: Images,
    out: Out,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Pictures: faces, their noise patterns and the spectra of these (figure 4 of the face paper)."""
    need_torch()
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study.page import page
    from assay.trainers.study.patterns import columns

    chosen = bundle_of("lnp", bundle, "finds no noise patterns")
    faces = read_all(images, chosen.manifest.min_side)
    out.mkdir(parents=True, exist_ok=True)
    page(columns(chosen, faces, Means(device, executor, precision))).save(out / "patterns.png")
    typer.echo(out / "patterns.png")


def read_all(images: list[Path], min_side: int = 1) -> dict[str, "Pixels"]:
    """The pixels of the files, by what each is called on a page.

    Raises SetupError about one that is corrupt or has a shorter side below `min_side` pixels.
    """
    from assay.trainers.data.read import read_pixels

    found = {}
    for name, image in named(images).items():
        try:
            found[name] = read_pixels(image)
        except Refused as error:
            raise SetupError(f"{image}: {error.detail}") from None
        if (side := min(found[name].shape[:2])) < min_side:
            raise SetupError(f"{image}: its shorter side has {side} pixels, and the bundle needs {min_side}")
    return found


def named(images: list[Path]) -> dict[str, Path]:
    """The files by what they are called on a page: as much of the end of their paths as tells them apart."""
    for length in range(1, max(len(image.parts) for image in images) + 1):
        found = {"/".join(image.parts[-length:]): image for image in images}
        if len(found) == len(set(images)):
            break
    return found
