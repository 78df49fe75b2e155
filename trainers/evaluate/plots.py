"""The pictures of a report, as PNG. Legends stand beside the axes, where they cover nothing."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.trainers.evaluate.result import Report, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDS = -0.02, 1.02
"""Of an axis of shares: dots at 0 and 1 are seen whole."""

Draw = Callable[["Axes"], None]


def plots(report: Report) -> Iterator[tuple[str, bytes]]:
    """(name, PNG) of each."""
    yield "roc", _drawn(lambda axes: _roc(axes, report))
    yield "reliability", _drawn(lambda axes: _reliability(axes, report))
    yield "risk_coverage", _drawn(lambda axes: _risk(axes, report))
    for name in dict.fromkeys(at.sweep for at in report.results[0].sweeps):
        yield f"sweep_{name}", _swept(name, report)


def _drawn(draw: Draw) -> bytes:
    with _figure(1) as (axes, png):
        draw(axes[0])
    return png.getvalue()


def _roc(axes: "Axes", report: Report) -> None:
    for one in report.results:
        if one.roc:
            axes.plot(*zip(*one.roc, strict=True), label=_label(one, report))
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    axes.set(xlabel="share of photographs", ylabel="share of synthetic images", xlim=ENDS, ylim=ENDS)


def _reliability(axes: "Axes", report: Report) -> None:
    for one in report.results:
        points = [(found.probability, found.synthetic) for found in one.reliability]
        axes.plot(*zip(*points, strict=True), marker="o", label=_label(one, report))
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    axes.set(xlabel="mean probability", ylabel="share that is synthetic", xlim=ENDS, ylim=ENDS)


def _risk(axes: "Axes", report: Report) -> None:
    for one in report.results:
        (line,) = axes.plot(*zip(*one.risk_coverage, strict=True), label=_label(one, report))
        axes.plot([one.decided.coverage], [one.decided.risk], "o", color=line.get_color())
    axes.set(xlabel="coverage", ylabel="share wrong", xlim=ENDS)
    axes.set_ylim(bottom=-0.01)


def _swept(name: str, report: Report) -> bytes:
    figures = {"auc": "AUC", "caught": "caught", "false_alarms": "false alarms"}
    with _figure(len(figures)) as (all_axes, png):
        for axes, (figure, title) in zip(all_axes, figures.items(), strict=True):
            for one in report.results:
                levels = [at for at in one.sweeps if at.sweep == name]
                values = [getattr(at, figure) for at in levels]
                axes.plot(range(len(levels)), values, marker="o", label=_label(one, report))
                ticks = ["unchanged" if at.strength is None else f"{at.strength:g}" for at in levels]
                axes.set_xticks(range(len(levels)), ticks, rotation=45, ha="right")
                axes.set(xlabel=levels[0].across, ylabel=title, ylim=ENDS)
    return png.getvalue()


@contextmanager
def _figure(columns: int) -> Iterator[tuple[list["Axes"], io.BytesIO]]:
    """Axes side by side with one legend for all; the picture is written when they are left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 + 4.2 * columns, 4.5), layout="constrained")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    png = io.BytesIO()
    yield axes, png
    for one in axes:
        one.grid(alpha=0.3)
    lines, names = axes[0].get_legend_handles_labels()
    if lines:
        figure.legend(lines, names, loc="outside right upper")
    figure.savefig(png, dpi=110, format="png")


def _label(one: Result, report: Report) -> str:
    return one.bundle if len(report.stored) == 1 else f"{one.bundle}, {one.treatment}"
