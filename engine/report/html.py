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
EVIDENCE, EVIDENCE_BYTES = 100, 64 << 20
"""How many files may be asked for their drawn evidence, and the bytes of it that a page holds, in base64."""
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
figure { margin: .5rem 0 } figcaption { font-size: .85rem }
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
        self._drawn, self._left_out, self._undrawn = 0, 0, 0
        self._evidence_bytes = 0

    def __call__(self, path: Path, outcome: Outcome) -> None:
        if isinstance(outcome, Verdict):
            self._counts[outcome.label.value] += 1
            self._bundles.add(f"{outcome.bundle} {outcome.version}")
            drawn = self._evidence(outcome)
            self._stream.write(_verdict(path, outcome, self._thumbnail(path, outcome), drawn))
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

    def _evidence(self, verdict: Verdict) -> str:
        """The figures of what was drawn, while there is room for them."""
        pictures = verdict.evidence.get("pictures")
        if pictures is None:
            self._undrawn += 1
            return ""
        size = sum(len(each["webp"]) for each in pictures)
        if self._evidence_bytes + size > EVIDENCE_BYTES:
            self._left_out += 1
            return ""
        self._drawn += 1
        self._evidence_bytes += size
        return "".join(map(_figure, pictures))

    def _of_evidence(self) -> str:
        """What the page says of drawn evidence, "" where none was asked for."""
        if not self._drawn + self._left_out:
            return ""
        said = f" Under evidence, {self._drawn} verdicts have it drawn"
        if self._undrawn:
            said += f"; {self._undrawn} do not, for only the first {EVIDENCE} files are drawn"
            said += ", and no very large ones"
        if self._left_out:
            said += f"; of {self._left_out} it is left out, for a page holds {EVIDENCE_BYTES >> 20} MiB of it"
        return f"{said}."

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
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.{only}{self._of_evidence()}</p>"
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


def _figure(drawn: Mapping[str, Any]) -> str:
    """One picture as a worker drew it (`engine/explain/drawn.py`), with its words."""
    notes = "".join(f"<div><small>{_text(note)}</small></div>" for note in drawn["notes"])
    source = f"data:image/webp;base64,{drawn['webp']}"
    return (
        f'<figure><figcaption>{_text(drawn["title"])}</figcaption><img alt="" src="{source}">{notes}</figure>'
    )


def _verdict(path: Path, verdict: Verdict, picture: bytes | None, drawn: str) -> str:
    shown = (
        f'<img alt="" src="data:image/webp;base64,{base64.b64encode(picture).decode()}">' if picture else ""
    )
    scores = ", ".join(f"{name} {score:+.3f}" for name, score in verdict.scores.items())
    numbers = {name: each for name, each in verdict.evidence.items() if name != "pictures"}
    evidence = _text(json.dumps(numbers))
    lines = (domain.in_words(verdict), in_words(verdict.evidence))
    said = "".join(f"<div><small>{_text(line)}</small></div>" for line in lines if line)
    return (
        f'<article class="{verdict.label.value}">{shown}'
        f"<b>{verdict.label.value}</b> {verdict.probability:.3f}"
        f'<div class="bar"><i style="width: {100 * verdict.probability:.1f}%"></i></div>'
        f'<div class="path">{_text(path)}</div>{said}'
        f"<details><summary>evidence</summary>{drawn}<pre>{_text(scores)}\n{evidence}</pre></details></article>\n"
    )


def _text(words: object) -> str:
    """Words as one line of HTML."""
    return html.escape(printable(words))
