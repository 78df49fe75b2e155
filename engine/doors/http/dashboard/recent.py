"""The latest verdicts with their images, for an operator who has turned this on.

The server decodes nothing for it: the page gets the file as it came and leaves it to the browser, as any
picture of a website. What browsers do not show, and what is large, has no picture.
"""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus

from assay.engine.doors.http.answer import Answer, error
from assay.engine.outcome import Verdict
from assay.engine.ticket import Ticket

PAUSE = 0.5
"""Seconds from one verdict that is kept to the next."""
LARGEST = 1 << 20
"""Bytes of a file that is kept."""
LONGEST = 200
"""Characters of an id that are kept."""
SHOWN = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "bmp": "image/bmp",
}
"""What browsers show, by the names of admission."""
HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class _Kept:
    number: int
    record: str
    format: str
    data: bytes


class Recent:
    """Keeps `most` verdicts, at most two a second. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._kept: deque[_Kept] = deque(maxlen=most)
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._number = 0

    def see(self, ticket: Ticket, verdict: Verdict) -> None:
        """An image was answered; returns at once."""
        now = time.monotonic()
        with self._lock:
            if now - self._last < PAUSE:
                return
            self._last = now
            self._number += 1
            data, kind = ticket.item.data, ticket.header.format
            if kind not in SHOWN or len(data) > LARGEST:
                data = b""
            self._kept.append(_Kept(self._number, _record(self._number, verdict, bool(data)), kind, data))

    def as_json(self) -> Answer:
        """All that are kept, the latest first."""
        with self._lock:
            records = ",".join(kept.record for kept in reversed(self._kept))
        return Answer(HTTPStatus.OK, f'{{"verdicts": [{records}]}}\n'.encode(), headers=HEADERS)

    def image(self, number: str) -> Answer:
        """The file of a verdict by its number."""
        with self._lock:
            found = next((kept for kept in self._kept if str(kept.number) == number and kept.data), None)
        if found is None:
            return error(HTTPStatus.NOT_FOUND, "this verdict is not kept any more, or has no picture")
        return Answer(HTTPStatus.OK, bytes(found.data), SHOWN[found.format], HEADERS)


def _record(number: int, verdict: Verdict, pictured: bool) -> str:
    record = {
        "number": number,
        "at": time.time(),
        "id": verdict.id[:LONGEST],
        "label": verdict.label.value,
        "probability": verdict.probability,
        "doubts": [doubt.value for doubt in verdict.doubts],
        "bundle": f"{verdict.bundle} {verdict.version}",
        "pictured": pictured,
    }
    return json.dumps(record)
