"""Where the results of a study go: Markdown, CSV and a plot, side by side in a folder."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from assay.engine.report.markdown import table

BESIDE = 0.1
"""Between the dots of two methods, as a share of what is between two places."""


def write(folder: Path, name: str, text: str, rows: Iterable[Sequence[object]]) -> None:
    """Writes `name`.md and `name`.csv, whose rows begin with a header, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, "utf-8")
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def left_out(folder: Path, files: Mapping[str, Collection[Path]]) -> None:
    """Says how many files each method could not score, and lists them in a file of the results."""
    for name, paths in files.items():
        if paths:
            file = folder / f"left_out_{name}.txt"
            file.write_text("".join(f"{path}\n" for path in sorted(paths)), "utf-8")
            told = f"{name}: {len(paths)} files were left out, corrupt or too small: {file}"
            Console(stderr=True).print(told, highlight=False, soft_wrap=True)


def plot(
    file: Path,
    curves: dict[str, list[tuple[float, float]]],
    across: str,
    up: str,
    names: Sequence[str] = (),
    ticks: Mapping[float, str] | None = None,
) -> None:
    """A line with dots for each method; `names` label the places 0, 1, ... across, `ticks` any places."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        lefts, values = zip(*curve, strict=True)
        if names:  # beside each other, so that no dot hides another
            lefts = tuple(left + BESIDE * (number - (len(curves) - 1) / 2) for left in lefts)
        axes.plot(lefts, values, marker="o", label=name, linestyle="none" if names else "solid")
    if names:
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    if ticks:
        axes.set_xticks(list(ticks), list(ticks.values()))
    if across == "JPEG quality":
        axes.invert_xaxis()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")  # beside the axes, where it covers nothing
    figure.savefig(file, dpi=150)


def grid(rows: Sequence[Sequence[object]]) -> str:
    """A header and rows as a Markdown table, numbers with one digit after the point."""
    return table([[f"{cell:.1f}" if isinstance(cell, float) else cell for cell in row] for row in rows])
