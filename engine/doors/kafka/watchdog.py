"""Notices a consumer that does not come back by itself, though brokers answer.

kafka-python waits 305 s for the answer to a join, however it was lost, and heartbeats that have ended with an
error begin again only with the next join, which nothing calls for.
"""

import time
from collections.abc import Callable

STALL_SECONDS = 30.0  # a join may take the 10 s in which a dead member is missed, and a request 15 s


class Watchdog:
    """`heard` says when (`time.monotonic()`) the group last answered; `reachable` asks the brokers."""

    def __init__(self, heard: Callable[[], float], reachable: Callable[[], bool]) -> None:
        self._heard = heard
        self._reachable = reachable
        self._since = time.monotonic()

    def stalled(self) -> bool:
        """Whether nothing was heard for `STALL_SECONDS` in which it could have been."""
        now = time.monotonic()
        self._since = max(self._since, self._heard())
        if now - self._since < STALL_SECONDS:
            return False
        if self._reachable():
            return True
        self._since = time.monotonic()  # it has this time again when they are back
        return False
