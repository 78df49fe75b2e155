"""A second bundle that scores a share of the stream beside the one that answers, to be compared with it.

It has a worker of its own, of the lowest priority that the system gives, and bytes of its own; it sees an
image when that is answered, so it can neither delay nor fail an answer. What finds no room is left out and
counted.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from time import monotonic

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.core.budget import Budget
from assay.engine.core.fleet import Fleet
from assay.engine.core.pace import Pace
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket

log = logging.getLogger(__name__)

ROOM = 256 * MIB
"""Bytes of images, encoded and decoded, that it may hold beside the engine's budget."""
NICE = 19

OnScore = Callable[[Verdict, Outcome], None]


def chosen(digest: bytes, share: float) -> bool:
    """Whether an image with this SHA-256 belongs to the share of a stream. A function of its content alone:
    the same images are chosen everywhere and each time."""
    return int.from_bytes(digest[:8], "big") < share * 2**64


class Shadow:
    """Scores a share (0..1) of what `see` is shown with `bundle`.

    Raises:
        BundleError: the bundle cannot be served.
        SetupError: its worker does not start.
    """

    def __init__(self, bundle: Bundle, share: float, settings: Settings) -> None:
        self._share = share
        self._bundle = bundle
        self._budget = Budget(min(ROOM, settings.memory))
        self._watchers: list[OnScore] = []
        self._lost = False
        own = {"workers": min(settings.workers, 1), "devices": settings.devices[:1]}
        self._fleet = Fleet([bundle], settings.model_copy(update=own), self, self._on_lost, Pace(), NICE)
        self._fleet.start_whole()

    def on_score(self, callback: OnScore) -> None:
        """Have `callback` called with the verdict that was given and the shadow's outcome, from a thread of
        the shadow; it must not block."""
        self._watchers.append(callback)

    def see(self, ticket: Ticket, verdict: Verdict) -> None:
        """An image was answered. Never raises, and returns at once."""
        try:
            if chosen(ticket.hashed(), self._share):
                self._take(ticket, verdict)
        except Exception:  # a defect of ours, which must not reach those who answer
            log.exception("the shadow failed")

    def stop(self) -> None:
        """Leave what waits, and end the worker."""
        self._lost = True
        self._fleet.queue.clear()
        self._fleet.abort()

    def _take(self, ticket: Ticket, verdict: Verdict) -> None:
        header, data = ticket.header, ticket.item.data
        need = len(data) + header.peak_bytes + self._fleet.intermediate[self._bundle.name]
        if self._lost:
            self._leave_out("no_worker")
        elif min(header.width, header.height) < self._bundle.manifest.min_side:
            self._leave_out("too_small")
        elif not self._budget.reserve(need, Priority.INTERACTIVE):
            self._leave_out("no_room")
        else:
            future: Future[Outcome] = Future()
            future.add_done_callback(partial(self._scored, verdict))
            item = Item(ticket.item.id, data, self._bundle.name)
            self._fleet.queue.put([Ticket(item, self._bundle.name, header, need, monotonic(), future)])

    def _scored(self, verdict: Verdict, future: Future[Outcome]) -> None:
        outcome = future.result()
        name = self._bundle.name
        if isinstance(outcome, Verdict):
            telemetry.SHADOW_PROBABILITIES.labels(name).observe(outcome.probability)
        judged = outcome.label if isinstance(outcome, Verdict) else outcome.reason
        telemetry.SHADOW_PAIRS.labels(verdict.bundle, verdict.label.value, name, judged.value).inc()
        for watcher in self._watchers:
            watcher(verdict, outcome)

    def _leave_out(self, why: str) -> None:
        telemetry.SHADOW_LEFT_OUT.labels(why).inc()

    # What its fleet asks of its owner:

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """A runner has the outcome of a ticket."""
        self.drop(ticket)
        ticket.future.set_result(outcome)

    def drop(self, ticket: Ticket) -> None:
        """A ticket is settled: its bytes are free."""
        self._budget.release(ticket.bytes)

    def _on_lost(self, fleet: Fleet, cause: Exception) -> None:
        self._lost = True
        for _ in fleet.queue.clear():
            self._leave_out("no_worker")
        log.error("shadow bundle %s scores no more: %s", self._bundle.name, cause)
