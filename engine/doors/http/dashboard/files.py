"""The files of the page, with the headers under which a browser may do no more with them than they need."""

from collections.abc import Mapping
from http import HTTPStatus
from importlib.resources import files
from pathlib import PurePath

from assay.engine.doors.http.answer import Answer

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-cache",
}


def load_files() -> Mapping[str, Answer]:
    """The answer for each file by its name; the page itself is ''. They are read once: nothing of a request
    becomes a path."""
    found = {
        file.name: Answer(HTTPStatus.OK, file.read_bytes(), TYPES[PurePath(file.name).suffix], HEADERS)
        for file in (files("assay.engine") / "doors/http/dashboard/web").iterdir()
    }
    return {"": found.pop("index.html"), **found}
