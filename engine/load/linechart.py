"""Lines as SVG. They differ in dashes as well as in colour; dots say their values when pointed at."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from assay.engine.load.axis import Axis

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 44
STYLES = 6
DOTS = 12
"""Points of a line up to which each is drawn as a dot."""


@dataclass(frozen=True)
class Line:
    """Points (x, y) in order; None as y leaves a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, mark: tuple[float, str] | None = None) -> str:
    """SVG and legend; `mark` is an x with words, at which a line stands."""
    parts = [_grid(x, y)]
    if mark:
        at = _x(x, mark[0])
        parts.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{at - 5:.1f}" y="{TOP + 11}" text-anchor="end">{escape(mark[1])}</text>'
        )
    parts += [_drawn(line, number % STYLES, x, y) for number, line in enumerate(lines)]
    names = ", ".join(line.name for line in lines)
    label = escape(f"{y.title} over {x.title}: {names}")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return drawing + legend([line.name for line in lines], _sample)


def legend(names: Sequence[str], sample: str) -> str:
    """`sample` is the SVG of an entry, with the number of its style left open."""
    entries = "".join(
        f'<li><svg viewBox="0 0 26 10" aria-hidden="true">{sample.format(number % STYLES)}</svg>'
        f"{escape(name)}</li>"
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{entries}</ul>'


_sample = '<path class="line s{0}" d="M1 5L25 5"/>'


def _x(axis: Axis, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, axis.place(value)))


def _y(axis: Axis, value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.0, max(0.0, axis.place(value))))


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    for value, words in y.ticks:
        at = _y(y, value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{words}</text>'
        )
    for value, words in x.ticks:
        at = _x(x, value)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{words}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{middle[0]}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>'
        f'<text transform="translate(13 {middle[1]}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.title)}</text>"
    )
    return "".join(parts)


def _drawn(line: Line, style: int, x: Axis, y: Axis) -> str:
    pen, path, dots = "M", [], []
    for value, height in line.points:
        if height is None:
            pen = "M"
            continue
        at = f"{_x(x, value):.1f}", f"{_y(y, height):.1f}"
        path.append(f"{pen}{at[0]} {at[1]}")
        pen = "L"
        words = escape(f"{line.name}: {height:.3g} {y.title} at {value:.4g} {x.title}")
        dots.append(
            f'<circle class="s{style}" cx="{at[0]}" cy="{at[1]}" r="3"><title>{words}</title></circle>'
        )
    drawn = f'<path class="line s{style}" d="{"".join(path)}"/>'
    return drawn + ("".join(dots) if len(dots) <= DOTS else "")
