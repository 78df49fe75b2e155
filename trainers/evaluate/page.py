"""A report as one HTML page: it runs no script and loads nothing, pictures are part of it."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from assay.trainers.evaluate.content import Section

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 1400px }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 1.8rem 0 .3rem } p { max-width: 75ch }
div { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #8884; text-align: right; vertical-align: bottom }
th:first-child, td:first-child { text-align: left } tbody tr:hover { background: #8882 }
img { max-width: 100%; background: #fff; border-radius: 4px }
</style></head><body>
<h1>Evaluation</h1>
"""


def page(sections: Iterable[Section], pictures: Mapping[str, bytes]) -> str:
    """`pictures`: PNG by name."""
    return _HEAD + "".join(_section(section, pictures) for section in sections) + "</body></html>\n"


def _section(section: Section, pictures: Mapping[str, bytes]) -> str:
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    picture = ""
    if section.picture in pictures:
        data = base64.b64encode(pictures[section.picture]).decode()
        picture = f'<img alt="{escape(section.title)}" src="data:image/png;base64,{data}">'
    table = _table(section.table) if section.table else ""
    return f"<section><h2>{escape(section.title)}</h2>\n{text}{table}{picture}</section>\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *lines = rows
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in lines)
    return f"<div><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
