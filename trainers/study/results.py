"""Where the results of a study go: Markdown, CSV and a plot, side by side in a folder."""

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from assay.engine.report.markdown import table

NOT_IN_NAMES = re.compile(r"[^\w.-]+")
"""What a method may be called by and a file is not."""
BESIDE, TOGETHER = 0.1, 0.7
"""Between the dots of two methods, and of all of them at most, as shares of what is between two places."""
MARKERS, COLOURS = "os^Dv", 10
"""Of methods: another one as soon as the colours are all used."""


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
            file = folder / f"left_out_{NOT_IN_NAMES.sub('_', name)}.txt"
            file.write_text("".join(f"{path}\n" for path in sorted(paths)), "utf-8")
            count = "1 file was" if len(paths) == 1 else f"{len(paths)} files were"
            told = f"{name}: {count} left out, corrupt or too small: {file}"
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
    apart = beside(len(curves))
    for number, (name, curve) in enumerate(curves.items()):
        lefts, values = zip(*curve, strict=True)
        if names:  # beside each other, so that no dot hides another
            lefts = tuple(left + apart[number] for left in lefts)
        marker = MARKERS[number // COLOURS % len(MARKERS)]
        axes.plot(lefts, values, marker=marker, label=name, linestyle="none" if names else "solid")
    if names:
        axes.set_xticks(range(len(names)), in_lines(names), rotation=30, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(names) - 0.4)
    if ticks:
        axes.set_xticks(list(ticks), list(ticks.values()))
    if across == "JPEG quality":
        axes.invert_xaxis()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")  # beside the axes, where it covers nothing
    figure.savefig(file, dpi=150)


def in_lines(names: Iterable[str]) -> list[str]:
    """Names of places, broken at commas: a long one would leave no room for the axes."""
    return [name.replace(", ", ",\n") for name in names]


def beside(count: int) -> list[float]:
    """How far from its place each of `count` methods has its dots."""
    apart = min(BESIDE, TOGETHER / count)
    return [apart * (number - (count - 1) / 2) for number in range(count)]


def grid(rows: Sequence[Sequence[object]]) -> str:
    """A header and rows as a Markdown table, numbers with one digit after the point."""
    return table([[f"{cell:.1f}" if isinstance(cell, float) else cell for cell in row] for row in rows])
