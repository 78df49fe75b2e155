"""What is logged about Kafka: each new kind of complaint at once, all that repeat once a second at most.

A client that cannot reach its broker complains with every attempt, several times a second and for hours.
"""

import copy
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 1.0
NEW_AGAIN_SECONDS = 60.0  # without a complaint of its kind
KINDS = 256

CLIENT = logging.getLogger("kafka")
DOOR = logging.getLogger("assay.engine.doors.kafka")


class Rate:
    """Which complaints are let through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[tuple[str, str], float] = {}
        self._free_at = 0.0
        self._left_out = 0

    def admit(self, kind: tuple[str, str], now: float) -> int | None:
        """Whether a complaint may be logged `now` (seconds): how many were left out before it, or None."""
        with self._lock:
            new = now - self._heard.get(kind, -NEW_AGAIN_SECONDS) >= NEW_AGAIN_SECONDS
            if new and len(self._heard) >= KINDS:
                self._heard.clear()
            self._heard[kind] = now
            if not new and now < self._free_at:
                self._left_out += 1
                return None
            self._free_at = now + SECONDS
            left_out, self._left_out = self._left_out, 0
            return left_out


class _Gate(logging.Handler):
    """In front of the handlers above a logger, which has `propagate` off meanwhile."""

    def __init__(self, logger: logging.Logger, rate: Rate) -> None:
        super().__init__()
        self._logger = logger
        self._rate = rate
        self.closed = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self.closed or self._logger.parent is None:
            return
        if record.levelno >= logging.WARNING:
            kind = (record.name, re.sub(r"\d+", "", str(record.msg)))
            left_out = self._rate.admit(kind, time.monotonic())
            if left_out is None:
                return
            record = _complaint(record, left_out)
        self._logger.parent.callHandlers(record)


def _complaint(record: logging.LogRecord, left_out: int) -> logging.LogRecord:
    """`record` with the number of those before it that were not logged; the client's without tracebacks,
    since a lost connection is no defect."""
    words = record.getMessage()
    changed = copy.copy(record)
    if record.exc_info and record.exc_info[1] and record.name.startswith(f"{CLIENT.name}."):
        words = f"{words}: {record.exc_info[1]!r}"
        changed.exc_info = changed.exc_text = None
    if left_out:
        words = f"{words} ({left_out} more complaints about Kafka were left out)"
    changed.msg, changed.args = words, None
    return changed


_lock = threading.Lock()
_rate = Rate()
_gates = {logger: _Gate(logger, _rate) for logger in (CLIENT, DOOR)}
_users = 0


@contextmanager
def throttled() -> Iterator[None]:
    """While entered, complaints of kafka-python and of the door are thinned out. Nests, in all threads."""
    global _users  # noqa: PLW0603
    with _lock:
        _users += 1
        if _users == 1:
            for logger, gate in _gates.items():
                logger.addHandler(gate)
                logger.propagate = False
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for logger, gate in _gates.items():
                    logger.removeHandler(gate)
                    logger.propagate = True


@contextmanager
def hidden(listener: logging.Handler) -> Iterator[None]:
    """While entered, kafka-python's log goes to `listener` alone."""
    with throttled():
        gate = _gates[CLIENT]
        CLIENT.addHandler(listener)
        with _lock:
            gate.closed += 1
        try:
            yield
        finally:
            with _lock:
                gate.closed -= 1
            CLIENT.removeHandler(listener)
