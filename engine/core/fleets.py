"""The fleet that serves, and the one before it while that still answers what it took.

The change from one to the other is one assignment: who puts something in says so first (`entering`), and a
fleet's queue is closed when nobody puts anything into it any more.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic

from assay.engine.bundle import Bundle
from assay.engine.core.fleet import Fleet, Owner
from assay.engine.core.pace import Pace
from assay.engine.core.room import check_room
from assay.engine.errors import EngineFault
from assay.engine.item import Priority
from assay.engine.outcome import Reason, Rejection
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket


class Fleets:
    """At most two of them.

    `prepare` is called with a new one, and raises where the owner cannot serve it; `on_lost` is told why the
    one that serves has no worker any more.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        settings: Settings,
        owner: Owner,
        prepare: Callable[[Fleet], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._prepare = prepare
        self._on_lost = on_lost
        self._changed = threading.Condition()
        self._swapping = threading.Lock()
        self._stopped = False
        self._leaving: tuple[Fleet, ...] = ()
        self.current = self._make(bundles, Pace())
        """Where what comes now goes."""

    def _make(self, bundles: Sequence[Bundle], pace: Pace) -> Fleet:
        fleet = Fleet(bundles, self._settings, self._owner, self._lost, pace)
        self._prepare(fleet)
        return fleet

    def swap(self, bundles: Sequence[Bundle]) -> None:
        """Have `bundles` take over; see `Core.swap`."""
        with self._swapping:
            for former in self._leaving:
                former.join()
            check_room(self.pids(), len(self.current.runners))
            fleet = self._make(bundles, self.current.queue.pace)
            fleet.start_whole()
            with self._changed:
                if not self._stopped:
                    former, self.current = self.current, fleet
                    self._leaving = (former,)
                    self._changed.wait_for(lambda: not former.entering)
            if self._stopped:
                fleet.abort()
                raise EngineFault("the engine was stopped before the new bundles took over")
            former.queue.close()

    def entering(self, fleet: Fleet | None = None) -> AbstractContextManager[Fleet]:
        """The fleet that serves now, or one that another thread is entering: from this call until the result
        is left, by whatever thread, it answers what is put into its queue."""
        with self._changed:
            fleet = fleet or self.current
            fleet.entering += 1
        return _Entered(fleet, self._changed)

    def seconds(self) -> float:
        """How long an interactive ticket that comes now waits for a worker, at the present pace."""
        waiting = self.current.queue.seconds(Priority.INTERACTIVE)
        for fleet in self._leaving:
            waiting += fleet.queue.seconds(Priority.INTERACTIVE)
        return waiting / max(1, self.current.living)

    def cost(self, bundle: str) -> float:
        """Seconds by which a ticket makes the next one wait."""
        return self.current.queue.pace.of(bundle) / max(1, self.current.living)

    def __len__(self) -> int:
        """Tickets that wait."""
        return sum(len(fleet.queue) for fleet in self._all)

    def remove(self, ticket: Ticket) -> bool:
        """Whether `ticket` still waited; it does no more."""
        return any(fleet.queue.remove(ticket) for fleet in self._all)

    def clear(self) -> list[Ticket]:
        """Take everything that waits."""
        return [ticket for fleet in self._all for ticket in fleet.queue.clear()]

    def pids(self) -> list[int]:
        """The process ids of the living workers."""
        return [pid for fleet in self._all for pid in fleet.pids()]

    def put(self, tickets: Sequence[Ticket], fleet: Fleet) -> None:
        """Have `tickets` answered by the fleet that they were admitted for."""
        fleet.queue.put(tickets)
        if not fleet.living:  # it may have looked at its queue before they were there
            self._pass_on(fleet)

    def stop(self, end: float | None) -> None:
        """Take nothing more and end the workers when all is scored, or at `end` of `time.monotonic()`."""
        with self._changed:
            self._stopped = True
            fleets = self._all
        for fleet in fleets:
            fleet.queue.close()
        for fleet in fleets:
            fleet.join(None if end is None else max(0.0, end - monotonic()))
        for fleet in fleets:
            fleet.abort()

    @property
    def _all(self) -> tuple[Fleet, ...]:
        return self.current, *self._leaving

    def _lost(self, fleet: Fleet, cause: Exception) -> None:
        if fleet is self.current:
            self._on_lost(cause)
        self._pass_on(fleet)

    def _pass_on(self, lost: Fleet) -> None:
        """What waits for a fleet that was leaving, and is lost, goes to the one that took over."""
        if lost not in self._leaving:
            return
        for ticket in lost.queue.clear():
            if ticket.bundle in self.current.bundles:
                self.current.queue.put([ticket])
            elif ticket.future.running() or ticket.future.set_running_or_notify_cancel():
                why = f"bundle {ticket.bundle!r} is served no more, and the last worker that had it was lost"
                self._owner.settle(ticket, Rejection(ticket.item.id, Reason.INTERNAL, why))
            else:
                self._owner.drop(ticket)


class _Entered(AbstractContextManager[Fleet]):
    """Leaves a fleet at its end, and says so to those who wait for that."""

    __slots__ = ("_changed", "_fleet")

    def __init__(self, fleet: Fleet, changed: threading.Condition) -> None:
        self._fleet = fleet
        self._changed = changed

    def __enter__(self) -> Fleet:
        return self._fleet

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._fleet.entering -= 1
            self._changed.notify_all()
