"""`serve` over the stub core, as a process for tests to signal: `stub_server.py SCENARIO [SETTINGS as JSON]`.

Says on standard output what the backlog's door is asked to do, in order.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable

from support.stub_core import StubCore

from assay.engine.doors.door import Door
from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.errors import AssayError, SetupError
from assay.engine.server import ServeSettings, serve


class Backlog(Door):
    """A door that records what it is asked; `scenario` says how it behaves."""

    def __init__(self, scenario: str) -> None:
        self._scenario = scenario

    def start(self) -> None:
        print("start", flush=True)

    def drain(self, timeout: float) -> None:
        print("drain", flush=True)
        if self._scenario == "hangs":
            time.sleep(60)

    def stop(self) -> None:
        print("stop", flush=True)

    def on_failure(self, callback: Callable[[AssayError], None]) -> None:
        if self._scenario == "broker lost":
            threading.Timer(0.3, callback, [SetupError("the broker is gone")]).start()


def main(scenario: str, settings: str = "{}") -> None:
    logging.basicConfig(level=logging.INFO)
    core = StubCore()
    if scenario == "engine lost":
        threading.Timer(0.3, core.fault).start()
    if scenario == "held":
        core.gate.clear()
        threading.Timer(3, core.gate.set).start()
    address = "127.0.0.1:0"
    serve(
        core,  # type: ignore[arg-type]
        [
            HttpDoor(HttpSettings(address=address), lambda: core.serving),
            GrpcDoor(core, GrpcSettings(address=address)),  # type: ignore[arg-type]
            Backlog(scenario),
        ],
        ServeSettings(**json.loads(settings)),
    )
    print("returned", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssayError as error:
        raise SystemExit(f"raised {type(error).__name__}: {error}") from None
