"""The deadlines of what waits: a ticket that is not taken in time is found when its time is up, not when a
worker comes to it."""

import heapq
import threading
import weakref
from collections.abc import Callable
from itertools import count
from time import monotonic

from assay.engine.ticket import Ticket

SLACK = 1024
"""Entries of answered tickets that may stay for no better reason than the price of removing them."""


class Deadlines:
    """Calls `late(ticket)` once for a ticket whose deadline passes while anyone still holds it.

    The thread starts with the first deadline, so that an engine without any has none. Tickets are held
    weakly: what was answered keeps no bytes here.
    """

    def __init__(self, late: Callable[[Ticket], None]) -> None:
        self._late = late
        self._heap: list[tuple[float, int, weakref.ref[Ticket]]] = []
        self._order = count()
        self._most = SLACK
        self._stopped = False
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, ticket: Ticket) -> None:
        deadline = ticket.item.deadline
        if deadline is None:
            return
        with self._lock:
            if len(self._heap) >= self._most:
                self._heap = [entry for entry in self._heap if entry[2]() is not None]
                heapq.heapify(self._heap)
                self._most = 2 * len(self._heap) + SLACK
            first = not self._heap or deadline < self._heap[0][0]
            heapq.heappush(self._heap, (deadline, next(self._order), weakref.ref(ticket)))
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="assay-deadlines", daemon=True)
                self._thread.start()
            elif first:
                self._changed.notify()

    def expire(self, now: float) -> float | None:
        """Call back for each ticket whose deadline is past -> the next deadline, if there is one."""
        due: list[Ticket] = []
        with self._lock:
            while self._heap and self._heap[0][0] < now:
                if ticket := heapq.heappop(self._heap)[2]():
                    due.append(ticket)
            following = self._heap[0][0] if self._heap else None
        for ticket in due:  # not under the lock: it answers callers
            self._late(ticket)
        return following

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._heap.clear()
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.expire(monotonic())
            with self._lock:
                if self._stopped:
                    return
                wait = self._heap[0][0] - monotonic() if self._heap else None
                if wait is None or wait >= 0:
                    self._changed.wait(None if wait is None else wait + 0.001)
