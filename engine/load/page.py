"""A measurement as one HTML page: it runs no script and loads nothing, plots are SVG in it."""

from collections.abc import Iterator, Sequence
from html import escape

from assay.engine.load.arrivals import in_words
from assay.engine.load.figures import Figure, compared, figures
from assay.engine.load.result import Result, Round, Way
from assay.engine.load.text import (
    HEAD,
    NAMES,
    energy,
    memory,
    milliseconds,
    notes,
    problems,
    row,
    scored_by,
    stage_names,
    where,
)

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Assay under load</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --raised: #f5f6f8; --ink: #1a1c20; --faint: #5a5f69;
  --line: #d9dde3; --c0: #1b66b2; --c1: #b8560b; --c2: #2c7438; --c3: #8a2a7a; --c4: #0e7c86; --c5: #6b6f78 }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --raised: #1e2127; --ink: #e9ebef;
  --faint: #a9afba; --line: #3a3f49; --c0: #79b4f0; --c1: #f2965c; --c2: #84cb90; --c3: #d99ad0;
  --c4: #5cc4cf; --c5: #b4b9c3 } }
* { box-sizing: border-box }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  padding: 1.5rem; max-width: 76rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.2rem 0 .2rem }
h3 { font-size: 1rem; margin: 0 } p { margin: .2rem 0; max-width: 90ch }
.faint, figcaption p { color: var(--faint); font-size: .9rem }
.notice { border-left: 4px solid var(--c1); padding: .2rem .8rem; margin: .6rem 0 }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: .9rem 0 }
.tiles div { background: var(--raised); border-radius: 10px; padding: .6rem 1rem; min-width: 9rem }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; line-height: 1.3 }
.rows { overflow-x: auto; margin: .6rem 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--line); text-align: right }
th { font-weight: 600 }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td:not(:last-child) { white-space: nowrap }
.grid-of { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1rem }
figure { background: var(--raised); border-radius: 10px; padding: .9rem 1rem; margin: 0 }
figure > svg { display: block; width: 100%; height: auto; margin-top: .5rem }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; margin: .3rem 0 0; padding: 0;
  font-size: .88rem }
.legend svg { width: 1.6rem; height: .65rem; margin-right: .4rem }
svg text { fill: var(--faint); font-size: 11.5px } svg .grid { stroke: var(--line) }
svg .mark { stroke: var(--faint); stroke-dasharray: 3 4; stroke-width: 1.5 }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.line.s0 { stroke: var(--c0) } .line.s1 { stroke: var(--c1); stroke-dasharray: 8 4 }
.line.s2 { stroke: var(--c2); stroke-dasharray: 2 4 }
.line.s3 { stroke: var(--c3); stroke-dasharray: 9 3 2 3 }
.line.s4 { stroke: var(--c4); stroke-dasharray: 5 5 } .line.s5 { stroke: var(--c5); stroke-dasharray: 12 3 }
circle.s0, .b0 { fill: var(--c0) } circle.s1, .b1 { fill: var(--c1) } circle.s2, .b2 { fill: var(--c2) }
circle.s3, .b3 { fill: var(--c3) } circle.s4, .b4 { fill: var(--c4) } circle.s5, .b5 { fill: var(--c5) }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem; margin: .5rem 0 }
dt { color: var(--faint) } dd { margin: 0; overflow-wrap: anywhere } summary { cursor: pointer }
details { margin: .6rem 0 }
</style></head><body>
"""


def page(result: Result) -> str:
    """The whole page."""
    return "".join([_HEAD, *_header(result), *map(_way, result.ways), "</body></html>\n"])


def _header(result: Result) -> Iterator[str]:
    machine = result.machine
    yield "<header><h1>Assay under load</h1>"
    facts = {
        "when": f"{result.when[:16].replace('T', ' ')} UTC",
        "machine": f"{machine.cores} cores of {machine.cpu}, {machine.memory / (1 << 30):.1f} GiB",
        "system": machine.system,
        "images": f"{result.images.source}, {result.images.mean_bytes / 1000:.0f} kB each",
        "versions": ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
    }
    lines = "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts.items())
    yield f"<dl>{lines}</dl>"
    yield "".join(f'<p class="faint">{escape(note)}</p>' for note in notes(result))
    if result.ended:
        yield f'<p class="notice">Not complete: {escape(result.ended)}.</p>'
    yield "</header>\n"
    if len(result.ways) > 1:
        yield from _compared(result.ways)


def _compared(ways: Sequence[Way]) -> Iterator[str]:
    rows = [
        [NAMES[way.way], *row(each)[1:-1], memory(way)]
        for way in ways
        for each in way.rounds
        if each.loop == "closed"
    ]
    yield "<section><h2>Closed loops</h2>"
    yield _table([["way", *HEAD[1:-1], "peak memory"], *rows])
    if figure := compared(ways):
        yield f'<div class="grid-of">{_figure(figure)}</div>'
    yield "</section>\n"


def _way(way: Way) -> str:
    return "".join(
        [
            f"<section><h2>{escape(NAMES[way.way])}</h2>",
            f"<p>{escape(scored_by(way))}, on {escape(where(way))}</p>",
            _tiles(way),
            *(f'<p class="notice">{escape(words)}</p>' for words in problems(way)),
            _table([HEAD, *map(row, way.rounds)]),
            f'<div class="grid-of">{"".join(map(_figure, figures(way)))}</div>',
            _details(way),
            "</section>\n",
        ]
    )


def _tiles(way: Way) -> str:
    closed = next((each for each in way.rounds if each.loop == "closed"), None)
    found: list[tuple[str, str]] = []
    if closed:
        found.append((f"{closed.images_per_second:.0f}", "images/s, closed loop"))
        found.append((milliseconds(sum(closed.cpu.values())), "ms of processor time an image"))
        if closed.joules is not None:
            found.append((f"{closed.joules:.3g}", "joules of the GPU an image"))
    middle = _half(way, closed)
    if middle and middle.latency and middle.latency.p99:
        found.append((milliseconds(middle.latency.p99), f"ms p99 at {in_words(middle.rate or 0.0)} images/s"))
    if way.peak_memory:
        found.append((f"{sum(way.peak_memory.values()) / (1 << 20):.0f}", "MiB at most: " + memory(way)))
    tiles = "".join(f"<div><b>{escape(value)}</b>{escape(words)}</div>" for value, words in found)
    return f'<div class="tiles">{tiles}</div>'


def _half(way: Way, closed: Round | None) -> Round | None:
    """The open loop with latencies that is nearest to half of what the closed one gave."""
    half = closed.images_per_second / 2 if closed else 0.0
    opened = [each for each in way.rounds if each.rate is not None and each.latency]
    return min(opened, key=lambda each: abs((each.rate or 0.0) - half), default=None)


def _figure(figure: Figure) -> str:
    caption = f"<h3>{escape(figure.title)}</h3><p>{escape(figure.about)}</p>"
    return f"<figure><figcaption>{caption}</figcaption>{figure.drawing}</figure>\n"


def _details(way: Way) -> str:
    names = stage_names(way)
    head = ["load", *(f"{name} ms" for name in names), "joules", "client late p99 ms", "client cores"]
    rows = [
        [
            row(each)[0],
            *(milliseconds(each.stages.get(name)) for name in names),
            energy(each),
            milliseconds(each.client_lateness),
            f"{each.client_cores:.2f}",
        ]
        for each in way.rounds
    ]
    return f"<details><summary>Stages and the client, in figures</summary>{_table([head, *rows])}</details>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *lines = rows
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>\n" for line in lines
    )
    return f'<div class="rows"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
