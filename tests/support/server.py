"""A server process for tests: started, found by what it logs, signalled, and never left behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

TESTS = Path(__file__).parent.parent


class Server:
    """Runs `arguments` with this Python; `grpc` and `http` are the ports that its log names."""

    def __init__(self, *arguments: str, start_timeout: float = 60) -> None:
        environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._start_timeout = start_timeout
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        streams = {"out": self.process.stdout, "err": self.process.stderr}
        self._readers = [
            threading.Thread(target=lambda name=name, stream=stream: self._lines[name].extend(stream))
            for name, stream in streams.items()
        ]
        for reader in self._readers:
            reader.start()

    @property
    def out(self) -> str:
        return "".join(self._lines["out"])

    @property
    def err(self) -> str:
        return "".join(self._lines["err"])

    @property
    def grpc(self) -> int:
        return self._port("gRPC")

    @property
    def http(self) -> int:
        return self._port("HTTP")

    def _port(self, door: str) -> int:
        end = time.monotonic() + self._start_timeout
        while not (found := re.search(rf"{door} on [^ ]*:(\d+)", self.err)):
            assert self.process.poll() is None, f"the server ended: {self.err}"
            assert time.monotonic() < end, f"the server did not start: {self.err}"
            time.sleep(0.02)
        return int(found[1])

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the HTTP door."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        """The exit code, once everything that the process said was read."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(10)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
