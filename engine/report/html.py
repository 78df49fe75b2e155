"""`assay scan --report`: one self-contained HTML page, a card a file, thumbnails turned as EXIF says.

The page is written as outcomes come, so memory does not grow with the number of files; what comes last, the
summary, is shown first by its style. It runs no script and loads nothing.
"""

import base64
import html
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, JpegImagePlugin

from assay.engine import domain
from assay.engine.admission import Header, admit
from assay.engine.decode import make_decoder
from assay.engine.outcome import Label, Outcome, Refused, Verdict
from assay.engine.printable import printable
from assay.engine.provenance import in_words
from assay.engine.report.picture import Picture, orientation_of, small_and_turned
from assay.engine.settings import Limits

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

THUMBNAILS, SIDE = 2000, 240
"""How many files get a thumbnail, so that a browser can still show the page; its longer side in pixels."""
LIMITS = Limits(max_pixels=64_000_000)
"""Larger images get no thumbnail: each is decoded again, one at a time, in this process."""
BOX = (255, 176, 0)

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Assay report</title>
<style>
:root { color-scheme: light dark; --synthetic: #c44e10; --authentic: #1866b2; --uncertain: #707070;
  --rejected: #8a6d00; --card: #8881; --faint: #888; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 1500px;
  display: flex; flex-direction: column; gap: 1.2rem; }
header { order: -2 }
nav { order: -1; display: flex; flex-wrap: wrap; gap: 1.2rem }
h1 { font-size: 1.4rem; margin: 0 0 .3rem } header p { margin: .1rem 0; color: var(--faint) }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 1rem }
article { background: var(--card); border-radius: 8px; padding: 10px; border-top: 4px solid var(--tone);
  overflow-wrap: anywhere; content-visibility: auto; contain-intrinsic-size: auto 330px }
article img { display: block; max-width: 100%; margin: 0 auto 8px; border-radius: 4px }
.synthetic { --tone: var(--synthetic) } .authentic { --tone: var(--authentic) }
.uncertain { --tone: var(--uncertain) } .rejected { --tone: var(--rejected) }
b { color: var(--tone) } .path { font-size: .85rem } small, summary { color: var(--faint) }
.bar { background: #8883; border-radius: 3px; margin: 3px 0 }
.bar i { display: block; height: 6px; border-radius: 3px; background: var(--tone) }
pre { white-space: pre-wrap; font-size: .75rem; margin: .3rem 0 0 }
body:has(#synthetic:not(:checked)) .synthetic, body:has(#authentic:not(:checked)) .authentic,
body:has(#uncertain:not(:checked)) .uncertain, body:has(#rejected:not(:checked)) .rejected { display: none }
</style></head><body>
<nav>
<label><input type="checkbox" id="synthetic" checked> synthetic</label>
<label><input type="checkbox" id="uncertain" checked> uncertain</label>
<label><input type="checkbox" id="authentic" checked> authentic</label>
<label><input type="checkbox" id="rejected" checked> rejected</label>
</nav>
<main>
"""


class HtmlReport:
    """Writes the cards of a page to `stream`, and at last its summary."""

    def __init__(self, stream: "SupportsWrite[str]") -> None:
        self._stream = stream
        self._counts: Counter[str] = Counter()
        self._bundles: set[str] = set()
        self._pictures = 0
        self._framed = False

    def __call__(self, path: Path, outcome: Outcome) -> None:
        if isinstance(outcome, Verdict):
            self._counts[outcome.label.value] += 1
            self._bundles.add(f"{outcome.bundle} {outcome.version}")
            self._stream.write(_verdict(path, outcome, self._thumbnail(path, outcome)))
        else:
            self._counts[outcome.reason.value] += 1
            self._stream.write(
                f'<article class="rejected"><b>{outcome.reason.value}</b>'
                f'<div class="path">{_text(path)}</div><small>{_text(outcome.detail)}</small></article>\n'
            )

    def _thumbnail(self, path: Path, verdict: Verdict) -> bytes | None:
        if self._pictures == THUMBNAILS:
            return None
        framed = boxes(verdict.evidence)
        self._framed = self._framed or bool(framed)
        found = thumbnail(path, framed)
        self._pictures += found is not None
        return found

    def finish(self) -> None:
        """Write what is shown on top: how many files there are of each kind."""
        total = self._counts.total()
        order = [label.value for label in Label]
        kinds = sorted(self._counts, key=lambda kind: (kind not in order, -self._counts[kind]))
        counts = ", ".join(f"{self._counts[kind]} {kind}" for kind in kinds)
        only = f" Only the first {THUMBNAILS} have pictures." if self._pictures == THUMBNAILS else ""
        framed = "; framed is what the detector looked at" if self._framed else ""
        self._stream.write(
            f"</main><header><h1>{total} files: {counts or 'nothing to score'}</h1>"
            f"<p>Scored by {_text(', '.join(sorted(self._bundles)) or 'no bundle')} on "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.{only}</p>"
            f"<p>The number beside a label is the calibrated probability that the image is synthetic{framed}."
            "</p></header></body></html>\n"
        )


@contextmanager
def html_report(stream: "SupportsWrite[str]") -> Iterator[HtmlReport]:
    """A report that begins and ends a page on `stream`."""
    stream.write(_HEAD)
    report = HtmlReport(stream)
    yield report
    report.finish()


def thumbnail(path: Path, framed: Sequence[Sequence[float]] = ()) -> bytes | None:
    """A small WebP of an image file, turned for showing, boxes in stored pixels framed; None if it has none.

    Meant for files that have a verdict: a worker has decoded them before without harm.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.max_bytes + 1)
        header = admit(data, LIMITS, 1)
        orientation = orientation_of(data)
        small = small_and_turned(_decoded(data, header), orientation, SIDE)
    except Exception:  # the file may have changed since; a report lacks a picture then, and goes on
        return None
    shown = Picture(small, (header.height, header.width), orientation)
    draw = ImageDraw.Draw(shown.image)
    for box in framed:
        draw.rectangle(shown.box(*box), outline=BOX, width=2)
    encoded = io.BytesIO()
    shown.image.save(encoded, "WEBP", quality=70)
    return encoded.getvalue()


def _decoded(data: bytes, header: Header) -> Image.Image:
    """The image, RGB; of a JPEG libjpeg makes a smaller one at once."""
    if header.format == "jpeg":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            return image.convert("RGB")
    [pixels] = make_decoder("turbo").decode([(data, header)])
    if isinstance(pixels, Refused):
        raise pixels
    return Image.fromarray(pixels)


def boxes(evidence: Any) -> list[list[float]]:
    """Every box of an outcome's evidence, wherever it stands: top, left, bottom, right in stored pixels."""
    if isinstance(evidence, Mapping):
        own = evidence.get("box")
        found = [own] if isinstance(own, list) and len(own) == 4 else []
        return found + [box for value in evidence.values() for box in boxes(value)]
    if isinstance(evidence, list):
        return [box for value in evidence for box in boxes(value)]
    return []


def _verdict(path: Path, verdict: Verdict, picture: bytes | None) -> str:
    shown = (
        f'<img alt="" src="data:image/webp;base64,{base64.b64encode(picture).decode()}">' if picture else ""
    )
    scores = ", ".join(f"{name} {score:+.3f}" for name, score in verdict.scores.items())
    evidence = _text(json.dumps(verdict.evidence))
    lines = (domain.in_words(verdict), in_words(verdict.evidence))
    said = "".join(f"<div><small>{_text(line)}</small></div>" for line in lines if line)
    return (
        f'<article class="{verdict.label.value}">{shown}'
        f"<b>{verdict.label.value}</b> {verdict.probability:.3f}"
        f'<div class="bar"><i style="width: {100 * verdict.probability:.1f}%"></i></div>'
        f'<div class="path">{_text(path)}</div>{said}'
        f"<details><summary>evidence</summary><pre>{_text(scores)}\n{evidence}</pre></details></article>\n"
    )


def _text(words: object) -> str:
    """Words as one line of HTML."""
    return html.escape(printable(words))
