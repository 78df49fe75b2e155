"""Stacked bars as SVG, one a row; each part says its value when pointed at."""

from collections.abc import Mapping, Sequence
from html import escape

from assay.engine.load.axis import linear
from assay.engine.load.linechart import STYLES, legend

WIDTH = 520
LEFT, RIGHT, ROW, BAR, FOOT = 138, 48, 30, 18, 40

_sample = '<rect class="b{0}" x="1" y="0" width="24" height="10" rx="2"/>'


def bar_chart(rows: Sequence[tuple[str, Mapping[str, float]]], unit: str) -> str:
    """SVG and legend of (words, value by part) rows; parts have the same order and style in each."""
    names = list(dict.fromkeys(name for _, parts in rows for name in parts))
    axis = linear(unit, [sum(parts.values()) for _, parts in rows])
    height = ROW * len(rows) + FOOT
    span = WIDTH - LEFT - RIGHT
    drawn = []
    for value, words in axis.ticks:
        at = LEFT + span * axis.place(value)
        drawn.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - FOOT}"/>'
            f'<text x="{at:.1f}" y="{height - FOOT + 16}" text-anchor="middle">{words}</text>'
        )
    for number, (words, parts) in enumerate(rows):
        top, at = ROW * number + (ROW - BAR) / 2, float(LEFT)
        drawn.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(words)}</text>')
        for style, name in enumerate(names):
            value = parts.get(name, 0.0)
            width = span * axis.place(value)
            told = escape(f"{words}: {name} {value:.3g} {unit}")
            drawn.append(
                f'<rect class="b{style % STYLES}" x="{at:.1f}" y="{top}" width="{width:.1f}" height="{BAR}">'
                f"<title>{told}</title></rect>"
            )
            at += width
        drawn.append(f'<text x="{at + 6:.1f}" y="{top + 13}">{sum(parts.values()):.3g}</text>')
    drawn.append(f'<text x="{LEFT + span / 2}" y="{height - 5}" text-anchor="middle">{escape(unit)}</text>')
    label = escape(f"{unit}: {', '.join(names)}")
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
    return svg + legend(names, _sample)
