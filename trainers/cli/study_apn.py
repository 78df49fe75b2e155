"""`assay study`: the tables and figures of the APN paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from assay.engine.errors import SetupError
from assay.engine.streams import say
from assay.trainers.cli import options
from assay.trainers.cli.needs import need_torch
from assay.trainers.kinds.apn.run import ApnFiles
from assay.trainers.study.results import grid, left_out, plot, write

if TYPE_CHECKING:
    from assay.trainers.study.accuracy import Columns
    from assay.trainers.study.method import Method

Methods = Annotated[
    list[str], typer.Argument(help="NAME=FOLDER of a bundle or of a training run, one for each method.")
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Split = Annotated[list[str] | None, typer.Option(help="Splits to judge. [default: val]")]
TestSplit = Annotated[list[str] | None, typer.Option(help="Splits to judge. [default: test]")]
PAIRS = ("stable_diffusion_v_1_4=sdv1", "ADM=adm", "Midjourney=midjourney")
"""Generators that GenImage and DiffusionForensics share, by their folders."""
TABLE_2 = ("adm", "dalle2", "diff-projectedgan", "iddpm", "if", "midjourney", "projectedgan", "sdv1")
"""Of DiffusionForensics' generators those that the paper judges, by their folders."""


def cross_generator(
    methods: Methods,
    data: Annotated[Path, typer.Option(help="GenImage, or another data set, as for `assay evaluate`.")],
    out: Out,
    split: Split = None,
    min_side: options.MinSide = 0,
    only: options.Only = None,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Accuracy on each generator's images and its own photographs (table 1 of the APN paper)."""
    need_torch()
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import accuracy
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import methods_of

    samples = of_split(read_samples(data, min_side, only or ()), *(split or ["val"]))
    compared = methods_of(methods, Means(device, executor, precision), Kept(out))
    found = {one.name: accuracy.by_generator(one.score(samples, None)) for one in compared}
    _report(out, "cross_generator", found, compared)


def shared_photographs(
    methods: Methods,
    data: Annotated[Path, typer.Option(help="A scene of DiffusionForensics, or several.")],
    out: Out,
    scene: Annotated[str, typer.Option(help="The scene, by its folder.")] = "lsun_bedroom",
    generator: Annotated[
        list[str] | None,
        typer.Option(help=f"Generators to judge, by their folders. [default: {' '.join(TABLE_2)}]"),
    ] = None,
    split: TestSplit = None,
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Accuracy on the shared photographs and on each generator's images (table 2 of the APN paper).

    Of the paper's eight generators those are judged that are there.
    """
    need_torch()
    from assay.trainers.data.samples import of_scene, of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import accuracy
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import methods_of

    samples = of_scene(of_split(read_samples(data), *(split or ["test"])), scene)
    accuracy.need_generators(samples, generator or ())
    samples = [one for one in samples if not one.label or one.group in (generator or TABLE_2)]
    compared = methods_of(methods, Means(device, executor, precision), Kept(out))
    found = {one.name: accuracy.by_folder(one.score(samples, None)) for one in compared}
    _report(out, "shared_photographs", found, compared)


def cross_scene(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="NAME:GENERATOR=FOLDER of a run or bundle that was trained on that generator of --trained "
            "alone, one for each; NAME=FOLDER: one network for all columns."
        ),
    ],
    trained: Annotated[Path, typer.Option(help="GenImage: the scene that was trained on.")],
    other: Annotated[Path, typer.Option(help="DiffusionForensics: the other scene.")],
    out: Out,
    pair: Annotated[
        list[str] | None,
        typer.Option(help=f"A generator's name in both, A=B. [default: {' '.join(PAIRS)}]"),
    ] = None,
    scene: Annotated[str, typer.Option(help="The other scene, by its folder.")] = "lsun_bedroom",
    trained_split: Annotated[str, typer.Option(help="Split of --trained to judge.")] = "val",
    other_split: Annotated[str, typer.Option(help="Split of --other to judge.")] = "test",
    unseen: Annotated[
        str, typer.Option(help="A generator of --trained beside which the first pair's is drawn as bars.")
    ] = "glide",
    device: options.Device = "auto",
    executor: options.Executor = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Accuracy on the same generators in the scene trained on and in another (table 3 of the APN paper).

    In the paper each pair of columns is a network of its own, trained on that generator alone (`assay train
    apn --only generator=ADM`). Bars show what the first pair's network loses on a generator that it has not
    seen, and in the other scene (figure 1 a).
    """
    need_torch()
    from assay.trainers.data.samples import of_scene, of_split, read_samples
    from assay.trainers.evaluate.means import Means
    from assay.trainers.study import accuracy
    from assay.trainers.study.figures import bars
    from assay.trainers.study.kept import Kept
    from assay.trainers.study.method import method_of

    pairs = dict(pair_of(text) for text in pair or PAIRS)
    known = of_split(read_samples(trained), trained_split)
    new = of_scene(of_split(read_samples(other), other_split), scene)
    accuracy.need_generators(known, pairs.keys())
    accuracy.need_generators(new, pairs.values())
    means, kept, compared, found = Means(device, executor, precision), Kept(out), [], {}
    falls: dict[str, dict[str, float]] = {}
    if not (stranger := accuracy.of_generator(known, unseen)):
        say(f"assay: {trained} has no images of {unseen}, whose bars are left out: see --unseen")
    first = next(iter(pairs))
    for name, networks in networks_by_generator(methods, list(pairs)).items():
        loaded = {path: method_of(f"{name}={path}", means, kept) for path in dict.fromkeys(networks.values())}
        compared += list(loaded.values())
        scores = {}
        for generator, path in networks.items():
            own = accuracy.of_generator(known, generator)
            same = accuracy.of_generator(new, pairs[generator])
            network = loaded[path]
            scores[generator] = (
                network.score(own, None, generator),
                network.score(same, None, pairs[generator]),
            )
        found[name] = accuracy.by_scene(scores, pairs)
        falls[name] = accuracy.fall(
            scores, pairs, loaded[networks[first]].score(stranger, None, unseen) if stranger else None
        )
    _report(out, "cross_scene", found, compared)
    write(out, "cross_domain", grid(rows := _rows(falls)), rows)
    bars(out / "cross_domain.png", falls, "accuracy in %")


def ablations(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `assay train apn`, which is changed.")],
    data: Annotated[Path, typer.Option(help="Data set to judge on, as for `assay evaluate`.")],
    out: Out,
    of: Annotated[
        Literal["modules", "proposals", "masks"],
        typer.Option(help="Table 4(a), table 4(b), or hard masks against soft ones."),
    ] = "modules",
    weights_spatial: Annotated[
        Path | None, typer.Option(help=options.help_of(ApnFiles, "weights_spatial"))
    ] = None,
    weights_frequency: Annotated[
        Path | None, typer.Option(help=options.help_of(ApnFiles, "weights_frequency"))
    ] = None,
    split: Split = None,
    only: options.Only = None,
    workers: options.Workers = 2,
    device: options.Device = "auto",
) -> None:
    """Train a run again with one thing changed at a time, and judge all (table 4 of the APN paper).

    With --of proposals, where generators share their photographs, accuracy is that of table 2: by folder,
    photographs being one. Networks go to --out/runs. Stopped, it goes on where it was when called again.
    """
    need_torch()
    from assay.trainers.data.samples import of_split, read_samples
    from assay.trainers.study.ablations import evaluate

    samples = of_split(read_samples(data, only=only or ()), *(split or ["val"]))
    weights = ApnFiles(weights_spatial=weights_spatial, weights_frequency=weights_frequency).by_branch()
    console = Console(stderr=True)
    found, judged = evaluate(run, out, of, samples, weights, workers, console.print, device)
    _report(out, f"ablations_{of}", found, judged)


def pair_of(text: str, form: str = "A=B, such as --pair ADM=adm") -> tuple[str, str]:
    """What stands before and after the sign. Raises SetupError where either is missing."""
    one, equals, other = text.partition("=")
    if not (one and equals and other):
        raise SetupError(f"{text!r} is not {form}")
    return one, other


def networks_by_generator(methods: Sequence[str], generators: Sequence[str]) -> dict[str, dict[str, str]]:
    """By method the folder of each generator's network. Raises SetupError where one is missing or twice."""
    found: dict[str, dict[str, str]] = {}
    for text in methods:
        left, _, path = text.partition("=")
        name, colon, generator = left.partition(":")
        if not path or (colon and generator not in generators):
            raise SetupError(
                f"{text!r} is not NAME=FOLDER or NAME:GENERATOR=FOLDER, the generator being one of "
                f"{', '.join(generators)}"
            )
        networks = found.setdefault(name, {})
        for one in [generator] if colon else generators:
            if one in networks:
                raise SetupError(f"{name} has two networks for {one}: {networks[one]} and {path}")
            networks[one] = path
    for name, networks in found.items():
        if missing := [one for one in generators if one not in networks]:
            raise SetupError(
                f"{name} has no network for {', '.join(missing)}: add {name}:{missing[0]}=FOLDER"
            )
    return found


def _report(out: Path, name: str, found: "Mapping[str, Columns]", compared: "Sequence[Method]") -> None:
    """Markdown, CSV and a plot of columns by method; and what the methods could not score."""
    from assay.trainers.study.accuracy import MAP, comparable
    from assay.trainers.study.method import left_out_by

    rows = _rows(found := comparable(found))
    names = [str(name) for name in rows[0][1:]]
    write(out, name, grid(rows), rows)
    dots = {
        method: [(float(place), each[one]) for place, one in enumerate(names) if one in each]
        for method, each in found.items()
    }
    up = "accuracy in %, and mean average precision (mAP)" if MAP in names else "accuracy in %"
    plot(out / f"{name}.png", dots, "", up, names)
    left_out(out, left_out_by(compared))
    typer.echo(grid(rows))


def _rows(found: "Mapping[str, Columns]") -> list[list[object]]:
    """A header and a row a method; a cell is empty where a method has no such column."""
    names = list(dict.fromkeys(name for each in found.values() for name in each))
    rows: list[list[object]] = [["method", *names]]
    return rows + [[method, *(each.get(one, "") for one in names)] for method, each in found.items()]
