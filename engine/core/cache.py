"""Images that were asked for before: outcomes of late, and computations that several callers wait for.

What decides an outcome are the bytes of an image and the bundle; so these are the key. Whoever asks for what
was answered lately has the outcome at once. Whoever asks for what is being computed waits for that
computation, which no caller owns: one that leaves, by its deadline or because it was cancelled, takes nobody
with it, and the computation goes when the last one does.
"""

import hashlib
import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Protocol

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.core.fleet import Fleet
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict
from assay.engine.ticket import Ticket

LARGE = 1 << 20
"""Encoded bytes above which an image is hashed in a thread of its own, and not in an event loop: 0.6 ms."""
ENTRY = 400
"""Bytes that an outcome takes beside its own: its key, and its place in the order of use."""
PASSING = frozenset({Reason.DEADLINE, Reason.OVERLOADED, Reason.INTERNAL, Reason.UNKNOWN_BUNDLE})
"""Reasons that say more of the moment than of the image."""

Key = bytes


@dataclass(eq=False, slots=True, weakref_slot=True)
class Work(Ticket):
    """What is computed for those who wait for it; nobody else holds its future."""

    key: Key = b""
    version: str = ""
    """Of the bundle that it was put in for."""
    first: Ticket | None = None
    """Whose image it is: its outcome has the seconds of the computation."""
    waiting: dict[Ticket, None] = field(default_factory=dict)


class Owner(Protocol):
    """What the cache asks of the core."""

    def put(self, tickets: Sequence[Ticket], fleet: Fleet) -> None: ...
    def held(self, fleet: Fleet) -> AbstractContextManager[Fleet]: ...
    def watch(self, ticket: Ticket) -> None: ...
    def answer(self, ticket: Ticket, outcome: Outcome) -> None: ...
    def drop(self, ticket: Ticket) -> None: ...


class Cache:
    """Holds outcomes in `limit` bytes; those that were not asked for longest go first. Thread-safe."""

    def __init__(self, limit: int, owner: Owner) -> None:
        self._limit = limit
        self._owner = owner
        self._lock = threading.RLock()
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[Key, Work] = {}
        self._of: dict[Ticket, Work] = {}
        self._hashes: dict[str, tuple[Bundle, bytes]] = {}
        self._hashing = ThreadPoolExecutor(1, "assay-cache")  # its thread starts with the first large image

    def enter(self, tickets: Sequence[Ticket], fleet: Fleet) -> None:
        """Answer what is known; what is not is put in the owner's queue for `fleet`, once."""
        small = [ticket for ticket in tickets if not self._later(ticket, fleet)]
        self._enter(small, fleet)

    def _later(self, ticket: Ticket, fleet: Fleet) -> bool:
        """Whether a ticket is large and will be entered by a thread of the cache."""
        if len(ticket.item.data) <= LARGE:
            return False
        held = self._owner.held(fleet)
        try:
            self._hashing.submit(self._enter_held, [ticket], held)
        except RuntimeError:  # closed
            with held:
                return False
        return True

    def _enter_held(self, tickets: Sequence[Ticket], held: AbstractContextManager[Fleet]) -> None:
        with held as fleet:
            self._enter(tickets, fleet)

    def _enter(self, tickets: Sequence[Ticket], fleet: Fleet) -> None:
        works: list[Ticket] = []
        watched: list[Ticket] = []
        for ticket in tickets:
            found = self._find(ticket, fleet.bundles[ticket.bundle])
            if isinstance(found, Verdict | Rejection):
                self._answer(ticket, found)
                continue
            watched.append(ticket)
            if found:
                works.append(found)
        self._owner.put(works, fleet)
        for ticket in watched:
            self._owner.watch(ticket)

    def _find(self, ticket: Ticket, bundle: Bundle) -> Outcome | Work | None:
        """The outcome of a ticket, the work that has to be done for it, or None where that is under way.

        Urgent tickets do not wait for a computation that is less urgent.
        """
        key = self._key(ticket, bundle)
        with self._lock:
            if kept := self._kept.get(key):
                self._kept.move_to_end(key)
                telemetry.CACHE.labels("hit").inc()
                return _own(pickle.loads(kept), ticket, "cached")
            work = self._under_way.get(key)
            if work and work.item.priority <= ticket.item.priority:
                work.waiting[ticket] = None
                self._of[ticket] = work
                telemetry.CACHE.labels("shared").inc()
                return None
            item = replace(ticket.item, deadline=None)
            work = Work(item, ticket.bundle, ticket.header, ticket.bytes, ticket.submitted, Future(), key=key)
            ticket.bytes = 0  # what was reserved for it is the work's
            work.first, work.version, work.digest = ticket, bundle.version, ticket.digest
            work.waiting[ticket] = None
            self._of[ticket] = self._under_way[key] = work
            work.future.add_done_callback(partial(self._done, weakref.ref(work)))
            telemetry.CACHE.labels("miss").inc()
            return work

    def _key(self, ticket: Ticket, bundle: Bundle) -> Key:
        """SHA-256 of the image, and of all that the bundle's manifest says, hashes of its graphs included."""
        known, manifest = self._hashes.get(bundle.name, (None, b""))
        if known is not bundle:
            manifest = hashlib.sha256(bundle.manifest.model_dump_json().encode()).digest()
            self._hashes[bundle.name] = bundle, manifest
        return ticket.hashed() + manifest

    def leave(self, ticket: Ticket) -> bool:
        """Whether `ticket` waited for a computation; it does no more."""
        with self._lock:
            work = self._of.pop(ticket, None)
            if work is None:
                return False
            del work.waiting[ticket]
            if not work.waiting:
                work.future.cancel()  # unless a worker has it: then its outcome is kept for the next one
            return True

    def _done(self, reference: "weakref.ref[Work]", future: Future[Outcome]) -> None:
        """A computation has ended: with an outcome, or with the engine, or because nobody waited for it."""
        if (work := reference()) is None:
            return
        failed = future.cancelled() or future.exception()
        with self._lock:
            if self._under_way.get(work.key) is work:
                del self._under_way[work.key]
            waiting = list(work.waiting)
            work.waiting.clear()
            for ticket in waiting:
                del self._of[ticket]
            if not failed:
                self._keep(work, future.result())
        for ticket in waiting:
            if failed:
                self._fail(ticket, future)
            else:
                self._answer(
                    ticket, _own(future.result(), ticket, None if ticket is work.first else "shared")
                )
        work.first = None

    def _answer(self, ticket: Ticket, outcome: Outcome) -> None:
        if ticket.future.set_running_or_notify_cancel():
            self._owner.answer(ticket, outcome)
        else:
            self._owner.drop(ticket)

    def _fail(self, ticket: Ticket, future: Future[Outcome]) -> None:
        self._owner.drop(ticket)
        if ticket.future.set_running_or_notify_cancel():
            ticket.future.set_exception(future.exception())

    def _keep(self, work: Work, outcome: Outcome) -> None:
        """Keep an outcome that follows from the image; a suspect's may be the machine's."""
        passing = isinstance(outcome, Rejection) and outcome.reason in PASSING
        other = isinstance(outcome, Verdict) and outcome.version != work.version
        if passing or other or work.suspect:
            return
        kept = pickle.dumps(replace(outcome, id=""), pickle.HIGHEST_PROTOCOL)
        if ENTRY + len(kept) > self._limit:
            return
        self._bytes += ENTRY + len(kept) - self._size(self._kept.pop(work.key, None))
        self._kept[work.key] = kept
        while self._bytes > self._limit:
            self._bytes -= self._size(self._kept.popitem(last=False)[1])
        telemetry.CACHE_BYTES.set(self._bytes)
        telemetry.CACHE_ENTRIES.set(len(self._kept))

    @staticmethod
    def _size(kept: bytes | None) -> int:
        return 0 if kept is None else ENTRY + len(kept)

    def close(self) -> None:
        """Enter what is being hashed, and nothing further by a thread."""
        self._hashing.shutdown()


def _own(outcome: Outcome, ticket: Ticket, stage: str | None) -> Outcome:
    """An outcome as that of `ticket`; a verdict that was not computed for it says by its only stage why."""
    if isinstance(outcome, Rejection) or stage is None:
        return replace(outcome, id=ticket.item.id)
    return replace(outcome, id=ticket.item.id, seconds={stage: monotonic() - ticket.submitted})
