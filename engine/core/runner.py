"""A thread of the front that keeps one worker process alive and busy.

What a lost worker held goes back to the queue: the batch that it was scoring image by image, each alone, so
that a poisonous one can hurt only itself. Whether an image is to blame is decided only after a replacement
has passed its self-test; without one the device is given up and nothing is held against any image.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from assay.engine import telemetry
from assay.engine.core.queue import Queue
from assay.engine.core.together import together
from assay.engine.errors import BundleError, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Rejection, of_item
from assay.engine.ticket import Ticket
from assay.engine.worker.process import SLOTS, WorkerLost, WorkerSlow

log = logging.getLogger(__name__)

TRIES = 2
"""Workers that an image must have ended, alone, before it is refused as `internal`."""


def too_late(item: Item) -> Rejection:
    """What an item is answered whose deadline passed before it was scored."""
    late = "The deadline passed before a worker was free; allow more time or add workers."
    return Rejection(item.id, Reason.DEADLINE, late)


def too_slow(ticket: Ticket, seconds: float) -> Rejection:
    """What an item is answered whose decoding, alone, took more than `seconds` of processor time."""
    header = ticket.header
    return Rejection(
        ticket.item.id,
        Reason.UNDECODABLE,
        f"Decoding this {header.name} took more than {seconds:.1f} s of processor time, the most that its "
        f"{header.width}x{header.height} pixels allow; raise `worker_timeout` to allow more.",
        {"format": header.format, "width": header.width, "height": header.height, "seconds": seconds},
    )


class Worker(Protocol):
    """What holds up to `SLOTS` batches and answers them in order; `WorkerLost` ends it."""

    description: str

    @property
    def pid(self) -> int | None: ...
    def check(self) -> None: ...
    def send(self, tickets: Sequence[Ticket]) -> None: ...
    def receive(self) -> list[Outcome]: ...
    def interrupt(self) -> None: ...
    def kill(self) -> None: ...


class Owner(Protocol):
    """What a runner reports to the core."""

    def settle(self, ticket: Ticket, outcome: Outcome) -> None: ...
    def drop(self, ticket: Ticket) -> None: ...
    def ended(self, runner: "Runner", cause: Exception | None) -> None: ...


@dataclass(frozen=True, slots=True)
class InFlightBatch:
    """A batch that a worker holds, and when it was handed over (`time.monotonic()`)."""

    tickets: Sequence[Ticket]
    departed: float


class Runner(threading.Thread):
    """Takes batches from `queue`, has them scored by a worker of `start`, settles them with `owner`."""

    def __init__(self, start: Callable[[], Worker], queue: Queue, owner: Owner, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._start_process = start
        self._queue = queue
        self._owner = owner
        self._process: Worker | None = None
        self._aborted = False
        self._answered = 0.0  # when the last answer came
        self.description = ""
        """What the worker serves, and how, once there is one."""
        self.ready = threading.Event()
        """Set once the first worker has passed its self-test, or failed it."""

    def run(self) -> None:
        in_flight: deque[InFlightBatch] = deque()
        cause: Exception | None = None
        try:
            cause = self._keep_alive(in_flight)
        except Exception as error:  # a defect of ours: the device is lost, the images are not
            log.exception("%s failed", self.name)
            cause = error
        self._queue.put_back([ticket for batch in in_flight for ticket in batch.tickets])
        self._owner.ended(self, None if self._aborted else cause)
        self.ready.set()

    def _keep_alive(self, in_flight: deque[InFlightBatch]) -> Exception | None:
        """Serve with one worker after the other -> why there is no further one; None: the work is done."""
        cause: Exception | None = None
        while not self._aborted:
            try:
                self._process = self._start_process()
            except (WorkerLost, BundleError, SetupError) as error:
                return error
            if cause:
                telemetry.RESTARTS.inc()
                self._blame(in_flight, cause)
            self.description = self._process.description
            self.ready.set()
            try:
                with telemetry.WORKERS.track_inprogress():
                    self._serve(self._process, in_flight)
                return None
            except WorkerLost as error:
                cause = error
                log.warning("%s; it held %d images", error, sum(len(batch.tickets) for batch in in_flight))
            finally:
                self._process.kill()
        return None

    def abort(self) -> None:
        """End the worker at once, whatever it holds."""
        self._aborted = True
        if self._process:
            self._process.interrupt()

    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _serve(self, process: Worker, in_flight: deque[InFlightBatch]) -> None:
        """Keep `process` supplied until the queue is closed and drained. Raises `WorkerLost`."""
        while True:
            if len(in_flight) < SLOTS:
                taken = self._queue.take(wait=not in_flight)
                if not taken and not in_flight:
                    return
                if tickets := [ticket for ticket in taken if self._wanted(ticket)]:
                    if not in_flight:  # else it ended with what it was scoring, which says so
                        self._check(process, tickets)
                    in_flight.append(InFlightBatch(tickets, monotonic()))
                    process.send(tickets)
                if taken:
                    continue
            self._complete(in_flight[0], process.receive())
            in_flight.popleft()

    def _check(self, process: Worker, tickets: Sequence[Ticket]) -> None:
        """Hand `tickets` back if the worker ended before it got them: that is held against none."""
        try:
            process.check()
        except WorkerLost:
            self._queue.put_back(tickets)
            raise

    def _wanted(self, ticket: Ticket) -> bool:
        """Whether the caller still waits; if not, the ticket is settled here."""
        if not (ticket.future.running() or ticket.future.set_running_or_notify_cancel()):
            self._owner.drop(ticket)
            return False
        if ticket.item.deadline is not None and monotonic() > ticket.item.deadline:
            self._owner.settle(ticket, too_late(ticket.item))
            return False
        return True

    def _complete(self, batch: InFlightBatch, outcomes: Sequence[Outcome]) -> None:
        """Settle a batch with its outcomes, which do not know yet whose they are.

        The worker came to it when it had answered the batch before it; until then the worker held it.
        """
        now = monotonic()
        begun = max(batch.departed, self._answered)
        self._answered = now
        if not batch.tickets[0].item.drawn:
            self._queue.pace.note(batch.tickets[0].bundle, len(batch.tickets), now - begun)
        held = begun - batch.departed
        telemetry.BATCHES.observe(len(batch.tickets))
        if traces := [ticket.item.trace for ticket in batch.tickets if ticket.item.trace is not None]:
            telemetry.trace_batch(traces, batch.tickets[0].bundle, len(batch.tickets), begun, now)
        with together():
            for ticket, outcome in zip(batch.tickets, outcomes, strict=True):
                before = {"queue": batch.departed - ticket.submitted, "held": held}
                self._owner.settle(ticket, of_item(outcome, ticket.item.id, before))

    def _blame(self, in_flight: deque[InFlightBatch], cause: Exception) -> None:
        """Hand back what a lost worker held; refuse an image that, alone, has now ended `TRIES` of them.

        One that took too long to decode is refused the first time it was alone: its own work was measured.
        """
        scoring = list(in_flight.popleft().tickets) if in_flight else []
        back = [ticket for batch in in_flight for ticket in batch.tickets]
        in_flight.clear()
        slow = cause if isinstance(cause, WorkerSlow) else None
        if slow:
            scoring.append(scoring.pop(slow.place))  # its neighbours need not wait for it once more
        for ticket in scoring:
            ticket.suspect = True
            ticket.failures += len(scoring) == 1
            if slow and ticket.failures:
                log.warning("image %r: %s", ticket.item.id, cause, extra=telemetry.about(ticket.item))
                self._owner.settle(ticket, too_slow(ticket, slow.seconds))
            elif ticket.failures < TRIES:
                back.append(ticket)
            else:
                detail = f"scoring this image, alone, ended {TRIES} workers; the last one: {cause}"
                log.error("image %r: %s", ticket.item.id, detail, extra=telemetry.about(ticket.item))
                self._owner.settle(ticket, Rejection(ticket.item.id, Reason.INTERNAL, detail))
        self._queue.put_back(back)
