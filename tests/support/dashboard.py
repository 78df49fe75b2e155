"""An HTTP door with its dashboard, and what is asked of it."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.stub_core import StubCore, Switch

from assay.engine.doors.http import HttpDoor, HttpSettings


@contextmanager
def opened(core: StubCore, **settings: Any) -> Iterator[HttpDoor]:
    door = HttpDoor(HttpSettings(**{"address": "127.0.0.1:0", **settings}), Switch(), core)  # type: ignore[arg-type]
    door.start()
    try:
        yield door
    finally:
        door.stop()


def ask(
    door: HttpDoor, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): each for name, each in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, response.headers
