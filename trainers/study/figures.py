"""Figures that are more than one line a method: bars, curves beside their correlations, clouds of points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from assay.trainers.study.results import in_lines

Points = Sequence[tuple[float, float]]


def bars(file: Path, values: Mapping[str, Mapping[str, float]], up: str) -> None:
    """A group of bars for each method, a bar for each of its values, by the names of these."""
    names = list(dict.fromkeys(name for each in values.values() for name in each))
    figure = Figure(figsize=(max(6.0, 1.2 * len(values) + 3), 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        heights = [each.get(name, np.nan) for each in values.values()]
        lefts = np.arange(len(values)) + width * (place - (len(names) - 1) / 2)
        axes.bar_label(axes.bar(lefts, heights, width, label=name), fmt="%.1f", fontsize=7, padding=1)
    axes.set_xticks(range(len(values)), list(values), rotation=30 if len(values) > 4 else 0)
    axes.set_ylim(0, 106)
    axes.set_ylabel(up)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left")
    figure.savefig(file, dpi=150)


def curves_and_correlations(
    file: Path, curves: Mapping[str, Points], alike: NDArray[np.float64], across: str, up: str
) -> None:
    """The curves, and beside them how alike each two of them are, from -1 to 1."""
    figure = Figure(figsize=(14, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    lines = [left.plot(*zip(*curve, strict=True), linewidth=1.2)[0] for curve in curves.values()]
    left.set_xlabel(across)
    left.set_ylabel(up)
    left.grid(alpha=0.3)
    figure.legend(lines, list(curves), loc="outside upper left", ncols=min(4, len(lines)))
    _matrix(right, list(curves), alike)
    figure.savefig(file, dpi=150)


def _matrix(axes: Axes, names: Sequence[str], alike: NDArray[np.float64]) -> None:
    image = axes.imshow(alike, vmin=-1, vmax=1, cmap="RdBu_r")
    lines = in_lines(names)
    axes.set_xticks(range(len(names)), lines, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), lines, fontsize=8)
    for (row, column), value in np.ndenumerate(alike):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, label="correlation")


@dataclass(frozen=True)
class Cloud:
    """Points (n, 2) of one kind in one panel."""

    name: str
    points: NDArray[np.float64]


COLOURS = {"relevant": ("#1b6ca8", "#c8501e"), "irrelevant": ("#8ec4e8", "#f2b48c")}
"""Of features of photographs and of synthetic images: the irrelevant ones paler."""


def clouds(file: Path, panels: Mapping[tuple[str, str], Sequence[Cloud]]) -> None:
    """Panels in a grid, by (row, column); the order of the clouds is that of `COLOURS`."""
    rows, columns = (list(dict.fromkeys(key[axis] for key in panels)) for axis in (0, 1))
    figure = Figure(figsize=(4.2 * len(columns) + 1, 4 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    colours = [colour for both in COLOURS.values() for colour in both]
    for (row, column), found in panels.items():
        axes = grid[rows.index(row), columns.index(column)]
        drawn = [
            axes.scatter(*one.points.T, s=9, color=colour, linewidths=0, alpha=0.8)
            for one, colour in zip(found, colours, strict=True)
        ]
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{row}: {column}", fontsize=10)
    names = [one.name for one in next(iter(panels.values()))]
    figure.legend(drawn, names, loc="outside lower center", ncols=2, markerscale=2.5)
    figure.savefig(file, dpi=150)
