"""`assay audit`: whether files tell the classes of a data set apart without their pixels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from assay.engine.errors import SetupError
from assay.trainers.audit.audit import strongest, told
from assay.trainers.cli import options
from assay.trainers.data.samples import read_samples

if TYPE_CHECKING:
    from assay.trainers.audit.audit import Audit, File
    from assay.trainers.audit.reencode import Written

LISTED = 20
"""Largest number of corrupt files named on the terminal; --json names all."""


def audit(
    folder: Annotated[Path, typer.Argument(help="Data set, in any layout that `assay train` reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    re_encode: Annotated[
        Path | None, typer.Option(help="Write all images alike to this folder, in the same layout.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality of --re-encode.")] = 90,
    size: Annotated[
        int,
        typer.Option(min=0, help="Side in pixels of the central square that --re-encode keeps; 0: all."),
    ] = 0,
    only: options.Only = None,
) -> None:
    """Report how photographs and synthetic images differ in format, size and JPEG quality.

    Warns where one of these alone separates the classes: a network trained there may learn nothing else.
    Every file is decoded; corrupt ones are listed. --re-encode leaves them out, and images below --size.
    """
    from assay.trainers.audit.audit import audit as look
    from assay.trainers.audit.reencode import ReencodeSettings, reencode

    if size and re_encode is None:
        raise SetupError("--size belongs to --re-encode OUT")
    samples = read_samples(folder, only=only or ())
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=len(samples))
        found = look(samples, lambda: progress.advance(task))
        written: Written | None = None
        if re_encode is not None:
            task = progress.add_task("writing", total=len(samples))
            settings = ReencodeSettings(quality, size)
            written = reencode(samples, folder, re_encode, settings, lambda: progress.advance(task))
    if as_json:
        typer.echo(json.dumps(_record(found, written)))
    else:
        _show(found, written, Console())


def _record(found: Audit, written: Written | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "told": told(strongest(found.rules["all"])),
        "classes": {name: _traits(files) for name, files in _classes(found).items()},
        "rules": {
            name: [
                {"feature": rule.feature, "accuracy": rule.accuracy, "synthetic_if": rule.text}
                for rule in rules
            ]
            for name, rules in found.rules.items()
        },
        "warnings": _warnings(found),
        "corrupt": [str(path) for path in found.corrupt],
    }
    if written is not None:
        record["written"] = {
            "files": written.files,
            "corrupt": len(written.corrupt),
            "too_small": [str(path) for path in written.small],
        }
    return record


def _show(found: Audit, written: Written | None, console: Console) -> None:
    console.print(told(strongest(found.rules["all"])), highlight=False)
    table = Table("", "files", "formats", "commonest sizes", "sizes", "JPEG qualities")
    for name, files in _classes(found).items():
        traits = _traits(files)
        sizes = _commonest(traits["sizes"], 3)
        table.add_row(
            name,
            str(len(files)),
            _commonest(traits["formats"], 4),
            sizes,
            str(len(traits["sizes"])),
            _commonest(traits["qualities"], 3),
        )
    console.print(table)
    rules = Table("told by", *(rule.feature for rule in found.rules["all"]))
    for name, each in found.rules.items():
        rules.add_row(name, *(f"{rule.accuracy:.0%} {rule.text}" for rule in each))
    console.print(rules)
    for warning in _warnings(found):
        console.print(f"[bold red]warning[/] {warning}", highlight=False)
    console.print(f"{len(found.corrupt)} corrupt files")
    for path in found.corrupt[:LISTED]:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    if len(found.corrupt) > LISTED:
        console.print(f"  and {len(found.corrupt) - LISTED} more; --json names all")
    if written is not None:
        console.print(
            f"{written.files} files written alike; left out: {len(written.corrupt)} corrupt, "
            f"{len(written.small)} too small"
        )


def _classes(found: Audit) -> dict[str, list[File]]:
    names = ("photographs", "synthetic")
    return {
        name: [file for file in found.files if file.sample.label == label] for label, name in enumerate(names)
    }


def _traits(files: list[File]) -> dict[str, dict[str, int]]:
    counted = {
        "formats": Counter(file.format for file in files),
        "sizes": Counter(f"{file.width}x{file.height}" for file in files),
        "qualities": Counter(str(file.quality) for file in files if file.quality is not None),
    }
    return {name: dict(counter.most_common()) for name, counter in counted.items()}


def _commonest(counts: dict[str, int], most: int) -> str:
    total = sum(counts.values())
    return ", ".join(f"{name} {count / total:.0%}" for name, count in list(counts.items())[:most])


def _warnings(found: Audit) -> list[str]:
    return [
        f"{name}: calling an image synthetic if {rule.text} is right for {rule.accuracy:.1%}"
        for name, rules in found.rules.items()
        for rule in rules
        if rule.separates
    ]
