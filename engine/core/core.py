"""The core that every door calls: items in, in bulk; one future outcome for each.

    admission -> byte budget -> queue -> runners (a thread each) -> worker processes

Doors only translate. Limits, batching, rejections and metrics are made here, once.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic
from typing import Literal

from assay.engine import telemetry
from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.core.budget import BACKLOG_SHARE, Budget
from assay.engine.core.cache import Cache, Work
from assay.engine.core.deadlines import Deadlines
from assay.engine.core.fleet import Fleet
from assay.engine.core.fleets import Fleets
from assay.engine.core.pressure import Pressure
from assay.engine.core.refusals import not_served, overloaded, too_many
from assay.engine.core.runner import too_late
from assay.engine.errors import BundleError, EngineFault, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Refused, Rejection, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket

log = logging.getLogger(__name__)

PIXEL_BYTES = 3
"""Bytes of a decoded pixel."""
DRAWING = 64 * MIB
"""Bytes that drawing the evidence of an image takes at most, beside copies of its pixels."""
DRAWN_PIXEL_BYTES = 2 * PIXEL_BYTES
_PRIORITIES = {priority: priority.name.lower() for priority in Priority}
STREAM_SHARE = 0.5
"""Of `queue_seconds` that items may fill which can wait where they are: those of a stream. Else one that is
always ready to send would leave no room to calls that cannot."""


class Core:
    """Scores items for every door. `cache`: bytes that outcomes of late may take; 0: each image is computed.

    It belongs to the process that made it: in a child made by fork() everything here raises RuntimeError.

    Raises:
        BundleError: a bundle cannot be served.
        SetupError: the memory budget is too small for the largest image that the limits admit, or a library
            that the settings need is not installed.
        EngineFault: no worker passed its self-test.
    """

    def __init__(self, bundles: Sequence[Bundle], settings: Settings | None = None, cache: int = 0) -> None:
        self._pid = os.getpid()
        self.settings = settings = settings or Settings()
        self._intermediate: dict[str, int] = {}
        self._budget = Budget(settings.memory)
        self._deadlines = Deadlines(self._late)
        self._cache = Cache(cache, self) if cache else None
        self._lock = threading.Lock()
        self._fault: EngineFault | None = None
        self._watchers: list[Callable[[EngineFault], None]] = []
        self.on_verdict: list[Callable[[Ticket, Verdict], None]] = []
        """Told of each verdict that was computed, once it is given, by the thread that gave it. They neither
        raise nor block."""
        self._fleets = Fleets(bundles, settings, self, self._prepare, self._lost)
        self._show()
        fleet = self._fleets.current
        fleet.start()
        if self._fault:
            cause = self._fault.__cause__
            raise cause if isinstance(cause, BundleError | SetupError) else self._fault
        for name, error in fleet.never_ready:
            log.error("%s was given up: %s", name, error)

    def _prepare(self, fleet: Fleet) -> None:
        """Raises SetupError where the budget is too small for it."""
        limits = self.settings.limits
        most = limits.max_bytes + PIXEL_BYTES * limits.max_pixels
        most += max(fleet.intermediate.values())
        if most > self.settings.memory * BACKLOG_SHARE:
            raise SetupError(
                f"a memory budget of {self.settings.memory // MIB} MiB is too small: the largest image that "
                f"the limits admit needs {most // MIB} MiB of its {BACKLOG_SHARE:.0%}; raise `memory`, "
                "or lower `limits.max_pixels` or `limits.max_bytes`"
            )
        self._intermediate |= fleet.intermediate

    @property
    def bundles(self) -> Mapping[str, Bundle]:
        """Those that score what comes now, by name; the first one is the default."""
        return self._fleets.current.bundles

    def swap(self, bundles: Sequence[Bundle]) -> None:
        """Have `bundles` take over from those that are served; returns when all that comes goes to them.

        What was taken before is answered by those that it was taken for, whose workers end then. Until the
        new ones are ready, and where they do not get ready, nothing changes.

        Raises:
            BundleError: a bundle cannot be served.
            SetupError: there is no memory for two sets of workers, or a new one does not start.
            EngineFault: the core was stopped, or no worker is left.
        """
        self._check_process()
        if self._fault:
            raise self._fault
        self._fleets.swap(bundles)

    @property
    def serving(self) -> bool:
        """Whether items are taken and scored."""
        self._check_process()
        return self._fault is None

    def _check_process(self) -> None:
        """A child made by fork() has its parent's memory but not its threads, and locks may be held in it."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"this engine belongs to process {self._pid}, and process {os.getpid()} is a child that "
                "fork() made of it: make an Engine of its own in the child"
            )

    def on_fault(self, callback: Callable[[EngineFault], None]) -> None:
        """Call `callback` once, from a thread of the core, when no worker is left."""
        self._check_process()
        with self._lock:
            if self._fault is None:
                self._watchers.append(callback)
                return
        callback(self._fault)

    def submit(self, items: Sequence[Item], wait: bool = False) -> list[Future[Outcome]]:
        """One future per item, in order. A future raises `EngineFault` if the engine is lost before its turn.

        With `wait` the caller blocks while the byte budget is full; without, an item that finds no room, or
        an interactive one that would wait for more than `queue_seconds`, is answered `overloaded`.

        Raises:
            EngineFault: no worker is left, or the core was stopped.
            SetupError: an item names a bundle that is not served.
        """
        return self._enter(items, "wait" if wait else "refuse")

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        """Take items from the front while there is room -> their futures, possibly fewer than items.

        For interactive ones there is room for half of `queue_seconds`, too.

        Raises what `submit` raises.
        """
        return self._enter(items, "leave")

    def pause(self, coming: int = 0) -> float | None:
        """Seconds after which an interactive item should be sent again that would be refused now; None where
        there is room. `coming`: images that were let in and are not submitted yet.

        Asked before an image is read, so that refusing costs less than reading.
        """
        return self.pressure().pause(coming, self.settings.queue_seconds)

    def pressure(self) -> Pressure:
        """How much waits now."""
        fleets = self._fleets
        return Pressure(fleets.seconds(), fleets.cost(fleets.current.default), self._budget.full)

    def _enter(
        self, items: Sequence[Item], when_full: Literal["wait", "refuse", "leave"]
    ) -> list[Future[Outcome]]:
        self._check_process()
        if self._fault:
            raise self._fault
        with self._fleets.entering() as fleet:
            return self._enter_into(fleet, items, when_full)

    def _enter_into(
        self, fleet: Fleet, items: Sequence[Item], when_full: Literal["wait", "refuse", "leave"]
    ) -> list[Future[Outcome]]:
        owners = [_bundle(item, fleet) for item in items]  # an unknown name must not leave half of them taken
        futures: list[Future[Outcome]] = []
        entered: list[Ticket] = []
        ahead = self._fleets.seconds()
        most = self.settings.queue_seconds * (STREAM_SHARE if when_full == "leave" else 1)
        for item, bundle in zip(items, owners, strict=True):
            future: Future[Outcome] = Future()
            waits_too_long = item.priority is Priority.INTERACTIVE and when_full != "wait" and ahead > most
            if waits_too_long and when_full == "leave":
                break
            found = too_many(item, ahead, most) if waits_too_long else self._look(item, bundle, future)
            if isinstance(found, Ticket) and not self._budget.reserve(found.bytes, item.priority):
                if when_full == "leave":
                    break
                if when_full == "refuse":
                    found = overloaded(item, found.bytes)
                else:
                    self._take(entered, fleet)
                    entered = []
                    self._budget.reserve(found.bytes, item.priority, wait=True)
            futures.append(future)
            if item.trace is not None:
                future.add_done_callback(item.trace.done)
            if isinstance(found, Rejection):
                self._answer(future, found, bundle.name)
                continue
            entered.append(found)
            if item.priority is Priority.INTERACTIVE:
                ahead += self._fleets.cost(bundle.name)
        self._take(entered, fleet)
        return futures

    def _look(self, item: Item, bundle: Bundle, future: Future[Outcome]) -> Ticket | Rejection:
        """What an item becomes, from its headers and its deadline alone."""
        try:
            ticket = self._admit(item, bundle, future)
        except Refused as refused:
            return refused.rejection(item.id)
        except Exception as error:  # a defect of ours, which must not take a door down with it
            log.exception("admission of %r failed", item.id, extra=telemetry.about(item))
            detail = f"Reading the headers of this image failed: {type(error).__name__}: {error}"
            return Rejection(item.id, Reason.INTERNAL, detail)
        return too_late(item) if item.deadline is not None and monotonic() > item.deadline else ticket

    def _admit(self, item: Item, bundle: Bundle, future: Future[Outcome]) -> Ticket:
        header = item.header
        if header is None or min(header.width, header.height) < bundle.manifest.min_side:
            header = admit(item.data, self.settings.limits, bundle.manifest.min_side)
        need = len(item.id) + len(item.data) + header.peak_bytes + self._intermediate[bundle.name]
        if item.drawn:
            need += DRAWING + DRAWN_PIXEL_BYTES * header.pixels
        most = self._budget.limit(Priority.BACKLOG)
        if need > most:
            raise Refused(
                Reason.TOO_MANY_PIXELS,
                f"Decoding this {header.name} of {header.width}x{header.height} pixels takes "
                f"{need // MIB} MiB; the memory budget has {most // MIB} MiB for one image.",
                bytes=need,
                limit=most,
            )
        return Ticket(item, bundle.name, header, need, monotonic(), future)

    def _take(self, tickets: Sequence[Ticket], fleet: Fleet) -> None:
        if self._cache:
            self._cache.enter([ticket for ticket in tickets if not ticket.item.drawn], fleet)
            tickets = [ticket for ticket in tickets if ticket.item.drawn]
        self.put(tickets, fleet)

    def put(self, tickets: Sequence[Ticket], fleet: Fleet) -> None:
        """Have tickets computed by a fleet that is `held`."""
        if not tickets:
            return
        self._fleets.put(tickets, fleet)
        for ticket in tickets:
            self.watch(ticket)
        if self._fault:  # the last worker was lost, or the core stopped, between the first look and here
            self._abandon(self._fault)

    def held(self, fleet: Fleet) -> AbstractContextManager[Fleet]:
        """Keep a fleet that is being entered, from this call until the result is left."""
        return self._fleets.entering(fleet)

    def watch(self, ticket: Ticket) -> None:
        """See to it that a ticket waits no longer than its caller does."""
        ticket.future.add_done_callback(partial(self._left, weakref.ref(ticket)))
        self._deadlines.add(ticket)

    def _withdraw(self, ticket: Ticket) -> bool:
        """Whether a ticket still waited; it does no more."""
        return self._fleets.remove(ticket) or bool(self._cache and self._cache.leave(ticket))

    def _left(self, waiting: "weakref.ref[Ticket]", future: Future[Outcome]) -> None:
        """Nobody waits for a cancelled ticket: it gives its place and its bytes back at once."""
        if future.cancelled() and (ticket := waiting()) and self._withdraw(ticket):
            self.drop(ticket)

    def _late(self, ticket: Ticket) -> None:
        """The deadline of a ticket has passed; if it still waits, it waits no longer."""
        if not self._withdraw(ticket):
            return
        if ticket.future.running() or ticket.future.set_running_or_notify_cancel():
            self.settle(ticket, too_late(ticket.item))
        else:
            self.drop(ticket)

    def _answer(self, future: Future[Outcome], outcome: Outcome, bundle: str) -> None:
        telemetry.count(outcome, bundle)
        if not future.cancelled():
            future.set_result(outcome)

    def _show(self) -> None:
        """Have metrics say, when they are asked, how much is under way here: in the core made last."""
        shown = weakref.ref(self)  # metrics outlive a core

        def now(value: Callable[[Core], float]) -> Callable[[], float]:
            return lambda: value(core) if (core := shown()) else 0.0

        telemetry.BUDGET_TOTAL.set(self._budget.total)
        telemetry.BUDGET_USED.set_function(now(lambda core: core._budget.used))
        telemetry.QUEUED.set_function(now(lambda core: len(core._fleets)))
        telemetry.QUEUE_SECONDS.set_function(now(lambda core: core._fleets.seconds()))

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """A runner has the outcome of a ticket; for a work its waiting tickets are answered."""
        if isinstance(ticket, Work):
            self.drop(ticket)
            ticket.future.set_result(outcome)
        else:
            self.answer(ticket, outcome)
        if isinstance(outcome, Verdict):
            for watcher in self.on_verdict:
                watcher(ticket, outcome)

    def answer(self, ticket: Ticket, outcome: Outcome) -> None:
        """There is an outcome of a caller's ticket."""
        self.drop(ticket)
        telemetry.took(_PRIORITIES[ticket.item.priority], monotonic() - ticket.submitted)
        self._answer(ticket.future, outcome, ticket.bundle)

    def drop(self, ticket: Ticket) -> None:
        """A runner found a ticket cancelled, or has settled it: its bytes are free."""
        self._budget.release(ticket.bytes)

    def _lost(self, cause: Exception) -> None:
        self._fail(EngineFault(f"no worker is left: {cause}"), cause)

    def _fail(self, fault: EngineFault, cause: Exception | None = None) -> None:
        with self._lock:
            if self._fault:
                return
            fault.__cause__ = cause
            self._fault = fault
            watchers = self._watchers
        self._abandon(fault)
        for watcher in watchers:
            watcher(fault)

    def _abandon(self, fault: EngineFault) -> None:
        for ticket in self._fleets.clear():
            self.drop(ticket)
            if ticket.future.running() or ticket.future.set_running_or_notify_cancel():
                ticket.future.set_exception(fault)

    @property
    def description(self) -> str:
        """What a worker serves, on what and in which precision."""
        return next(filter(None, (runner.description for runner in self._fleets.current.runners)), "")

    def pids(self) -> list[int]:
        """The process ids of the living workers."""
        self._check_process()
        return self._fleets.pids()

    def stop(self, timeout: float | None = None) -> None:
        """Take nothing more, score what was taken, end the workers.

        After `timeout` seconds what is left is abandoned: its futures raise `EngineFault`.
        """
        self._check_process()
        stopped = EngineFault("the engine was stopped")
        end = None if timeout is None else monotonic() + timeout
        with self._lock:
            self._watchers.clear()
        if self._cache:
            self._cache.close()
        self._fleets.stop(end)
        self._deadlines.stop()
        self._fail(stopped)


def _bundle(item: Item, fleet: Fleet) -> Bundle:
    name = item.bundle or fleet.default
    if name not in fleet.bundles:
        raise not_served(name, fleet.bundles)
    return fleet.bundles[name]
