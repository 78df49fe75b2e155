"""A server that is started for a measurement, and ends with it."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import BaseModel, SecretStr

from assay.engine.errors import SetupError

CODE = "import ctypes; ctypes.CDLL(None).prctl(1, 15); from assay.engine.commands.app import main; main()"
"""Runs the command line, and gets SIGTERM when its parent ends, however that is."""
LINES = 50
"""Of its log, which are kept."""
ENDING = 60.0
"""Seconds that it is given to end."""
SENTENCE = "assay: "


class Server:
    """`assay serve` with `options` as a process of its own, beside gRPC on a free port of loopback.

    `address` is that of gRPC, `runs` what its log says of bundle, executor and precision.

    Raises SetupError with the server's own sentence where it does not start.
    """

    def __init__(self, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self.address = self.runs = ""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE, "serve", "--grpc", "127.0.0.1:0", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**_without_doors(os.environ), **environment},
            start_new_session=True,  # Ctrl-C is for the client, which ends it
        )
        self.pid = self._process.pid
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="assay-bench-server", daemon=True)
        self._reader.start()
        try:
            self._ready.wait()
        except BaseException:
            self._stop()
            raise
        if not self.address:
            self._stop()
            raise SetupError(f"the server did not start: {self._last_words}")

    def check(self) -> None:
        """Raises SetupError where it has ended."""
        if self._process.poll() is not None:
            self._reader.join()
            raise SetupError(f"the server ended: {self._last_words}")

    @property
    def _last_words(self) -> str:
        """The sentence with which the command line ends, else how the process did."""
        last = self._lines[-1] if self._lines else ""
        if last.startswith(SENTENCE):
            return last.removeprefix(SENTENCE)
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._lines.append(line.strip())
            if found := re.search(r"\d+ workers serve (.+)$", line):
                self.runs = found[1].strip()
            if found := re.search(r"gRPC on (\S+)", line):
                self.address = found[1]
                self._ready.set()
        self._ready.set()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stderr:
            self._process.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()


def variables(settings: BaseModel, prefix: str) -> dict[str, str]:
    """The environment that gives another process what was given for `settings`."""
    found = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found[prefix + name.upper()] = value.get_secret_value()
        elif isinstance(value, BaseModel):
            found |= variables(value, f"{prefix}{name.upper()}__")
        elif isinstance(value, tuple):
            words = all(isinstance(one, str) for one in value) and value
            found[prefix + name.upper()] = ",".join(value) if words else json.dumps(value)
        elif value is not None:
            found[prefix + name.upper()] = str(value)
    return found


def _without_doors(environment: Mapping[str, str]) -> dict[str, str]:
    """No variable may open a door that was not asked for, such as to the topics of a server that runs."""
    doors = ("ASSAY_GRPC_", "ASSAY_HTTP_", "ASSAY_KAFKA_", "ASSAY_SERVE_")
    return {name: value for name, value in environment.items() if not name.startswith(doors)}
