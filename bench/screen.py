"""What a check in front of a GPU's decoder costs, and how much damage it lets through.

    python -m assay.bench.screen [--pictures 8] [--damages 6] [--rounds 5]

Damaged are JPEGs of the four forms of `corruption.py`, in its ways; a screen should refuse each file that the
decoder for CPUs refuses, and no other. Times are of one thread, for whole images of 512x384. Threads that
share a batch take them side by side: libjpeg-turbo does not hold the interpreter.
"""

import io
import re
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from assay.bench.corruption import DAMAGES, FORMS, headers_of, pictures
from assay.bench.provenance import provenance
from assay.engine.admission import admit
from assay.engine.decode import Encoded
from assay.engine.decode.screened import screen
from assay.engine.decode.turbo import decode_one
from assay.engine.load.images import made
from assay.engine.outcome import Refused
from assay.engine.report.markdown import table
from assay.engine.settings import Limits

Screen = Callable[[Encoded], bool]
"""Whether an image passes."""

_MARKERS = re.compile(rb"\xff([^\x00\xff])")
_TABLES = frozenset(b"\xc4\xda\xdb\xdd\xdc\xfe") | frozenset(range(0xE0, 0xF0))


def ends(encoded: Encoded) -> bool:
    """There is an end marker behind the first scan's header."""
    data, header = encoded
    return bytes(data).find(b"\xff\xd9", header.scan) >= 0


def markers(encoded: Encoded) -> bool:
    """All markers behind the first scan's header may stand there, restarts in order, up to an end marker."""
    data, header = encoded
    restarts = 0
    for match in _MARKERS.finditer(data, header.scan):
        code = match[1][0]
        if code == 0xD9:
            return True
        if 0xD0 <= code <= 0xD7:
            if code & 7 != restarts & 7:
                return False
            restarts += 1
        elif code not in _TABLES:
            return False
        else:
            restarts = 0
    return False


def pillow(encoded: Encoded) -> bool:
    """Pillow decodes it at an eighth of its size; what its libjpeg warns of it does not say."""
    data, header = encoded
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (header.width // 8, header.height // 8))
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def strict(encoded: Encoded) -> bool:
    """As in a worker: what has odd headers is decoded on the host."""
    return not isinstance(screen(encoded), Refused)


def whole(encoded: Encoded) -> bool:
    return not isinstance(decode_one(encoded), Refused)


SCREENS: Mapping[str, Screen] = {
    "an end marker": ends,
    "markers among the coded data": markers,
    "Pillow, an eighth of the size": pillow,
    "libjpeg-turbo, strict, an eighth, grey (taken)": strict,
    "libjpeg-turbo, strict, full size, RGB": whole,
}


def damaged(count: int, damages: int) -> list[Encoded]:
    """The damaged files whose headers are admitted."""
    random = np.random.default_rng(0)
    found: list[Encoded] = []
    for format, options in (form for form in FORMS.values() if form[0] == "JPEG"):
        for picture in pictures(None, count):
            file = io.BytesIO()
            picture.save(file, format, **options)
            data = file.getvalue()
            headers = headers_of(data, format)
            for damage in DAMAGES.values():
                for _ in range(damages):
                    bad = damage(data, headers, random)
                    try:
                        found.append((bad, admit(bad, Limits(), 1)))
                    except Refused:
                        continue
    return found


def missed(look: Screen, bad: list[Encoded], refused: list[bool]) -> tuple[int, int]:
    """Files that pass and are to be refused, and the other way round."""
    passed = list(map(look, bad))
    return (
        sum(one and two for one, two in zip(passed, refused, strict=True)),
        sum(not one and not two for one, two in zip(passed, refused, strict=True)),
    )


def microseconds(look: Screen, good: list[Encoded], rounds: int) -> float:
    """Of CPU, for a whole image."""
    spent = []
    for _ in range(rounds + 1):
        start = time.thread_time()
        assert all(map(look, good))
        spent.append(time.thread_time() - start)
    return statistics.median(spent[1:]) / len(good) * 1e6


def main(
    pictures_: Annotated[int, typer.Option("--pictures")] = 8,
    damages: Annotated[int, typer.Option(help="Of each kind, a file.")] = 6,
    rounds: int = 5,
) -> None:
    """Print a table in Markdown."""
    bad = damaged(pictures_, damages)
    refused = [not whole(one) for one in bad]
    good: list[Encoded] = [(data, admit(data, Limits(), 1)) for data in made(64)]
    size = sum(len(data) for data, _ in good) / len(good) / 1000
    print(
        f"{len(bad)} damaged JPEGs, of which {sum(refused)} are to be refused; {size:.0f} kB a whole one.\n"
    )
    print(provenance("simplejpeg", "pillow"), end="\n\n")
    rows: list[list[object]] = [
        ["screen", "let through, of those to refuse", "refused beyond", "CPU us an image"]
    ]
    for name, look in SCREENS.items():
        through, beyond = missed(look, bad, refused)
        spent = microseconds(look, good, rounds)
        rows.append([name, f"{through} ({through / sum(refused):.1%})", beyond, f"{spent:.0f}"])
    print(table(rows))


if __name__ == "__main__":
    typer.run(main)
