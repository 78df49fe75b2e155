"""A folder explained: a page per image, and an index that links them, written as they are drawn."""

import html
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from assay.engine.doors.files import read_file
from assay.engine.errors import SetupError
from assay.engine.outcome import Outcome, Reason, Refused, Verdict
from assay.engine.printable import printable
from assay.engine.settings import Limits

Drawing = Callable[[str, bytes], tuple[Verdict, Image.Image]]
"""An `Explainer`."""
INDEX = "index.html"
_LETTERS = 80
"""How much of an image's name its page keeps: a file system takes names of 255 bytes."""
_log = logging.getLogger(__name__)

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Assay: what the verdicts rest on</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 1100px;
  display: flex; flex-direction: column }
header { order: -1 } h1 { font-size: 1.4rem } ol { padding-left: 3rem } li { overflow-wrap: anywhere }
.synthetic b { color: #c44e10 } .authentic b { color: #1866b2 } .uncertain b { color: #707070 }
.rejected b { color: #8a6d00 } small { color: #888 }
</style></head><body>
<ol>
"""


def explain_files(
    paths: Iterable[Path], top: Path, out: Path, explainer: Drawing, limits: Limits
) -> Iterator[tuple[Path, Outcome]]:
    """Draw the files at `paths` below `top`, one at a time, into the folder `out` -> (path, outcome).

    What gets no verdict gets no page, and is a line of the index with its reason.

    Raises `SetupError` where a page or the index cannot be written.
    """
    counts: Counter[str] = Counter()
    with _writes(out / INDEX), (out / INDEX).open("w", encoding="utf-8") as index:
        index.write(_HEAD)
        for number, path in enumerate(paths, 1):
            name = str(path.relative_to(top))
            page = page_name(number, path)
            outcome = _explained(path, name, out / page, explainer, limits)
            counts[(outcome.label if isinstance(outcome, Verdict) else outcome.reason).value] += 1
            index.write(_line(name, page, outcome))
            index.flush()  # whoever stops early has what was drawn by then
            yield path, outcome
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        index.write(
            f"</ol><header><h1>{counts.total()} files: {kinds or 'nothing to score'}</h1>"
            "<p>Each verdict links the page of what it rests on. The number beside a label is the calibrated "
            "probability that the image is synthetic.</p></header></body></html>\n"
        )


def page_name(number: int, path: Path) -> str:
    """The file of the page of the image that is `number` in order: plain letters, and its own for each."""
    return f"{number:05}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[:_LETTERS]}.png"


def new_folder(out: Path) -> None:
    """Make the folder `out`, which may be there if it is empty: pages of two runs would be mixed up.

    Raises `SetupError` where it cannot be made or holds something.
    """
    with _writes(out):
        out.mkdir(exist_ok=True)
        with os.scandir(out) as listed:
            held = next(listed, None)
    if held:
        raise SetupError(f"{out} is not empty; name a new folder for the pages")


def _explained(path: Path, name: str, page: Path, explainer: Drawing, limits: Limits) -> Outcome:
    try:
        verdict, drawn = explainer(printable(name), read_file(path, limits))
    except Refused as refused:
        return refused.rejection(str(path))
    except Exception as error:  # what fails on this image need not fail on the next one
        _log.warning("%s cannot be explained", printable(path), exc_info=True)
        detail = f"The engine failed on this image ({type(error).__name__}: {error})."
        return Refused(Reason.INTERNAL, detail).rejection(str(path))
    with _writes(page):
        drawn.save(page)
    return verdict


def _line(name: str, page: str, outcome: Outcome) -> str:
    shown = html.escape(printable(name))
    if isinstance(outcome, Verdict):
        label = outcome.label.value
        link = f'<a href="{page}">{shown}</a>'
        return f'<li class="{label}"><b>{label}</b> {outcome.probability:.3f} {link}</li>\n'
    detail = html.escape(printable(outcome.detail))
    return f'<li class="rejected"><b>{outcome.reason.value}</b> {shown} <small>{detail}</small></li>\n'


@contextmanager
def _writes(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror or error}") from None
