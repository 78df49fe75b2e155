"""The clock of a loop, so that tests can turn it by hand."""

import threading
from time import perf_counter
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go forward."""

    def now(self) -> float: ...

    def wait(self, changed: threading.Condition, until: float) -> None:
        """Return when `changed`, which is held, is notified, or at the moment `until`."""


class WallClock:
    """The machine's."""

    def now(self) -> float:
        return perf_counter()

    def wait(self, changed: threading.Condition, until: float) -> None:
        if (left := until - perf_counter()) > 0:
            changed.wait(left)
