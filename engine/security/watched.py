"""Files that are read again when they change, and kept as they were while what is there is wrong."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from assay.engine.errors import SetupError

Value = TypeVar("Value")
Stamp = tuple[tuple[int, int, int] | None, ...]

log = logging.getLogger(__name__)


class Watched(Generic[Value]):
    """What `read` gives, which raises SetupError; `files` are looked at at each `get`. Thread-safe."""

    def __init__(self, files: Sequence[Path], read: Callable[[], Value]) -> None:
        self._files = files
        self._read = read
        self._lock = Lock()
        self._stamp = self._look()
        self._value = read()

    def get(self) -> Value:
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._value = self._read()
                except SetupError as error:
                    log.error("%s; what was read before stays in use", error)
                else:
                    log.info("read again: %s", ", ".join(map(str, self._files)))
            return self._value

    def _look(self) -> Stamp:
        return tuple(_stamp(file) for file in self._files)


def read_file(file: Path) -> bytes:
    """Raises SetupError where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from None


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
