"""The core that every door calls: items in, in bulk; one future outcome for each.

    admission -> byte budget -> queue -> runners (a thread each) -> worker processes

Doors only translate. Limits, batching, rejections and metrics are made here, once.
"""

import logging
import math
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Literal

from assay.engine import telemetry
from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.core.budget import BACKLOG_SHARE, Budget
from assay.engine.core.cache import Cache, Work
from assay.engine.core.deadlines import Deadlines
from assay.engine.core.queue import BatchLimits, Queue
from assay.engine.core.refusals import not_served, overloaded, too_many
from assay.engine.core.runner import Runner, Worker, too_late
from assay.engine.detectors import detector_of, intermediate_bytes
from assay.engine.errors import BundleError, EngineFault, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerProcess

log = logging.getLogger(__name__)

PIXEL_BYTES = 3
"""Bytes of a decoded pixel."""
DRAWING = 64 * MIB
"""Bytes that drawing the evidence of an image takes at most, beside copies of its pixels."""
DRAWN_PIXEL_BYTES = 2 * PIXEL_BYTES
STREAM_SHARE = 0.5
"""Of `queue_seconds` that items may fill which can wait where they are: those of a stream. Else one that is
always ready to send would leave no room to calls that cannot."""
AHEAD = 0.01
"""Seconds of work that a busy worker on a CPU is given ahead; a batch of few images takes no longer for each.
A GPU is given whole batches, which it needs."""
LEAST_PAUSE = 0.1
"""Seconds that a refused caller is told to wait at least."""


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
        self.bundles = {bundle.name: bundle for bundle in bundles}
        if not bundles or len(self.bundles) < len(bundles):
            raise SetupError("serve at least one bundle, and each name once")
        for bundle in bundles:
            detector_of(bundle)
        self._intermediate = {bundle.name: intermediate_bytes(bundle) for bundle in bundles}
        self._default = bundles[0].name
        self._check_budget()
        self._budget = Budget(settings.memory)
        telemetry.BUDGET_TOTAL.set(settings.memory)
        ahead = math.inf if settings.devices else AHEAD
        self._queue = Queue(BatchLimits(settings.batch, settings.slot_bytes, settings.batch_bytes, ahead))
        self._deadlines = Deadlines(self._late)
        self._cache = Cache(cache, self.bundles, self) if cache else None
        self._lock = threading.Lock()
        self._fault: EngineFault | None = None
        self._watchers: list[Callable[[EngineFault], None]] = []
        self._runners: list[Runner] = []
        self._never_ready: list[tuple[str, Exception]] = []
        self._start(bundles)

    def _check_budget(self) -> None:
        limits = self.settings.limits
        most = limits.max_bytes + PIXEL_BYTES * limits.max_pixels
        most += max(self._intermediate.values())
        if most > self.settings.memory * BACKLOG_SHARE:
            raise SetupError(
                f"a memory budget of {self.settings.memory // MIB} MiB is too small: the largest image that "
                f"the limits admit needs {most // MIB} MiB of its {BACKLOG_SHARE:.0%}; raise `memory`, "
                "or lower `limits.max_pixels` or `limits.max_bytes`"
            )

    def _start(self, bundles: Sequence[Bundle]) -> None:
        settings = self.settings
        starts: list[Callable[[], Worker]] = [lambda: WorkerProcess(bundles, settings)] * settings.workers
        names = [f"worker {number}" for number in range(settings.workers)]
        if not settings.workers:
            from assay.engine.inline import InlineWorker  # loads what scores, which a front does not need

            starts, names = [lambda: InlineWorker(bundles, settings)], ["the inline worker"]
        elif settings.devices:
            starts = [partial(WorkerProcess, bundles, settings, device) for device in settings.devices]
            names = [f"GPU {device}" for device in settings.devices]
        self._living = len(starts)
        for name, start in zip(names, starts, strict=True):
            runner = Runner(start, self._queue, self, name)
            self._runners.append(runner)
            runner.start()
        for runner in self._runners:
            runner.ready.wait()
        if self._fault:
            cause = self._fault.__cause__
            raise cause if isinstance(cause, BundleError | SetupError) else self._fault
        for name, error in self._never_ready:
            log.error("%s was given up: %s", name, error)
        serving = Counter(runner.description for runner in self._runners if runner.description)
        for description, count in serving.items():
            log.info("%d workers serve %s", count, description)

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
        ahead = self._ahead() + coming * self._cost(self._default)
        if ahead > self.settings.queue_seconds or self._budget.full:
            return max(LEAST_PAUSE, ahead)
        return None

    def _ahead(self) -> float:
        """Seconds that an interactive item which comes now waits until a worker takes it."""
        return self._queue.seconds(Priority.INTERACTIVE) / max(1, self._living)

    def _cost(self, bundle: str) -> float:
        """Seconds by which an item makes the next one wait."""
        return self._queue.pace.of(bundle) / max(1, self._living)

    def _enter(
        self, items: Sequence[Item], when_full: Literal["wait", "refuse", "leave"]
    ) -> list[Future[Outcome]]:
        self._check_process()
        if self._fault:
            raise self._fault
        owners = [self._bundle(item) for item in items]  # an unknown name must not leave half of them taken
        futures: list[Future[Outcome]] = []
        entered: list[Ticket] = []
        ahead = self._ahead()
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
                    self._take(entered)
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
                ahead += self._cost(bundle.name)
        self._take(entered)
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

    def _bundle(self, item: Item) -> Bundle:
        name = item.bundle or self._default
        if name not in self.bundles:
            raise not_served(name, self.bundles)
        return self.bundles[name]

    def _admit(self, item: Item, bundle: Bundle, future: Future[Outcome]) -> Ticket:
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

    def _take(self, tickets: Sequence[Ticket]) -> None:
        if self._cache:
            self._cache.enter([ticket for ticket in tickets if not ticket.item.drawn])
            tickets = [ticket for ticket in tickets if ticket.item.drawn]
        self.put(tickets)

    def put(self, tickets: Sequence[Ticket]) -> None:
        """Have tickets computed."""
        if not tickets:
            return
        self._queue.put(tickets)
        for ticket in tickets:
            self.watch(ticket)
        self._observe()
        if self._fault:  # the last worker was lost, or the core stopped, between the first look and here
            self._abandon(self._fault)

    def watch(self, ticket: Ticket) -> None:
        """See to it that a ticket waits no longer than its caller does."""
        ticket.future.add_done_callback(partial(self._left, weakref.ref(ticket)))
        self._deadlines.add(ticket)

    def _withdraw(self, ticket: Ticket) -> bool:
        """Whether a ticket still waited; it does no more."""
        return self._queue.remove(ticket) or bool(self._cache and self._cache.leave(ticket))

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

    def _observe(self) -> None:
        telemetry.QUEUED.set(len(self._queue))
        telemetry.QUEUE_SECONDS.set(self._ahead())
        telemetry.BUDGET_USED.set(self._budget.used)

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """There is an outcome of a ticket; that of a work counts where those are answered who wait for it."""
        self.drop(ticket)
        if isinstance(ticket, Work):
            ticket.future.set_result(outcome)
            return
        telemetry.IMAGES.labels(ticket.item.priority.name.lower()).observe(monotonic() - ticket.submitted)
        self._answer(ticket.future, outcome, ticket.bundle)

    def drop(self, ticket: Ticket) -> None:
        """A runner found a ticket cancelled, or has settled it: its bytes are free."""
        self._budget.release(ticket.bytes)
        self._observe()

    def ended(self, runner: Runner, cause: Exception | None) -> None:
        """A runner has given its device up (`cause`), or has drained the queue after `stop`."""
        with self._lock:
            self._living -= 1
            last = self._living == 0
        if cause and runner.ready.is_set():
            log.error("%s was given up: %s", runner.name, cause)
        elif cause:  # `_start` reports it: one sentence if none gets ready
            self._never_ready.append((runner.name, cause))
        if last and cause:
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
        for ticket in self._queue.clear():
            self.drop(ticket)
            if ticket.future.running() or ticket.future.set_running_or_notify_cancel():
                ticket.future.set_exception(fault)

    def pids(self) -> list[int]:
        """The process ids of the living workers."""
        self._check_process()
        return [pid for runner in self._runners if runner.is_alive() and (pid := runner.pid()) is not None]

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
        self._queue.close()
        for runner in self._runners:
            runner.join(None if end is None else max(0.0, end - monotonic()))
        for runner in self._runners:
            if runner.is_alive():
                runner.abort()
                runner.join()
        self._deadlines.stop()
        self._fail(stopped)
