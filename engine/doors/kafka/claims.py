"""Reads what records refer to: off the threads that talk to Kafka, a few at a time, within a byte budget."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from assay.engine.admission import check_bytes
from assay.engine.doors.kafka.references import Place, Source, locate, open_source
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.settings import Limits

log = logging.getLogger(__name__)

READERS = 8
HANGING = 32
"""Threads that may hang in a file system and be replaced; while more do, what waits for one is rejected."""


@dataclass(eq=False, slots=True)
class Claim:
    """A record's reference, from when it was taken until there is an outcome."""

    item: Item
    said: bytes
    outcome: Future[Outcome] = field(default_factory=Future)
    began: float | None = None
    """When its present access to a file system began (`time.monotonic()`)."""
    reserved: int = 0


class Claims:
    """Claims in, items with bytes out (`read`). `used` bytes were reserved, each image's before it was read
    and until its outcome is there; with `room` of them nothing more is read.

    `changed` is called from any thread when something was read or is over; `rejected` with each rejection
    that is made here.
    """

    def __init__(
        self,
        roots: Sequence[Place],
        seconds: float,
        limits: Limits,
        room: int,
        changed: Callable[[], None],
        rejected: Callable[[Rejection], None],
    ) -> None:
        self._roots, self._seconds, self._limits, self._room = roots, seconds, limits, room
        self._changed, self._rejected = changed, rejected
        self._lock = threading.Condition()
        self._waiting: deque[Claim] = deque()
        self._reading: set[Claim] = set()
        self._hanging = 0
        self._threads = 0
        self._closed = False
        self.used = 0
        self.read: deque[tuple[Claim, bytes]] = deque()
        """What was read and is still to be offered; whoever takes it calls `offered`."""

    def take(self, item: Item, said: bytes) -> Future[Outcome]:
        """Have what a record refers to read -> the future of its outcome."""
        claim = Claim(item, said)
        with self._lock:
            self._waiting.append(claim)
            self._staff()
            self._lock.notify()
        return claim.outcome

    def offered(self, claim: Claim, future: Future[Outcome]) -> None:
        """The core has taken the item of `claim`."""
        future.add_done_callback(partial(self._scored, claim))

    def expire(self) -> None:
        """Reject what takes too long; called about ten times a second."""
        limit = time.monotonic() - self._seconds
        with self._lock:
            late = [claim for claim in self._reading if claim.began is not None and claim.began < limit]
            for claim in late:
                self._reading.remove(claim)
                self._hanging += 1
            if self._hanging > HANGING and self._hanging >= self._threads:
                late += self._waiting
                self._waiting.clear()
            self._staff()
        for claim in late:
            what = f"Reading what the record refers to took longer than {self._seconds:g} s"
            self._reject(claim, Refused(Reason.REFERENCE_FAILED, f"{what}.", limit=self._seconds))

    def close(self) -> None:
        """Read nothing more. Threads end with what they do."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._lock.notify_all()

    def _staff(self) -> None:
        wanted = min(READERS + min(self._hanging, HANGING), self._threads + len(self._waiting))
        while self._threads < wanted:
            self._threads += 1
            threading.Thread(target=self._run, name="kafka-claims", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._closed:
                    self._lock.wait()
                if self._closed:
                    self._threads -= 1
                    return
                claim = self._waiting.popleft()
                if claim.outcome.done():
                    continue
                self._reading.add(claim)
            try:
                data = self._data(claim)
            except Refused as refused:
                self._reject(claim, refused)
            except Exception as error:  # whatever a file system raises
                log.info("reading for %s failed", claim.item.id, exc_info=error)
                why = f"Reading what the record refers to failed: {type(error).__name__}."
                self._reject(claim, Refused(Reason.REFERENCE_FAILED, why))
            else:
                with self._lock:
                    if claim in self._reading:
                        self.read.append((claim, data))
            with self._lock:
                if claim in self._reading:
                    self._reading.remove(claim)
                else:
                    self._hanging -= 1
            self._changed()

    def _data(self, claim: Claim) -> bytes:
        root, place = locate(claim.said, self._roots)
        claim.began = time.monotonic()
        source = open_source(root, place)
        try:
            check_bytes(source.size, self._limits)
            self._reserve(claim, source.size)
            claim.began = time.monotonic()
            return self._pieces(claim, source)
        finally:
            source.close()

    def _pieces(self, claim: Claim, source: Source) -> bytes:
        data = bytearray()
        for piece in source.pieces():
            data += piece
            if claim.outcome.done():
                break
        if len(data) != source.size and not claim.outcome.done():
            raise Refused(Reason.REFERENCE_FAILED, "What the record refers to changed while it was read.")
        return bytes(data)

    def _reserve(self, claim: Claim, size: int) -> None:
        with self._lock:
            claim.began = None  # for room it may wait as long as it takes
            while self.used and self.used + size > self._room and not self._closed:
                self._lock.wait()
            if claim not in self._reading or self._closed:
                raise Refused(Reason.REFERENCE_FAILED, "Reading what the record refers to took too long.")
            claim.reserved = size
            self.used += size

    def drop(self, claim: Claim) -> None:
        """Nobody waits for what was read."""
        with self._lock:
            self.used -= claim.reserved
            claim.reserved = 0
            self._lock.notify_all()

    def _reject(self, claim: Claim, refused: Refused) -> None:
        self.drop(claim)
        rejection = refused.rejection(claim.item.id)
        with suppress(InvalidStateError):  # taken back, or rejected already
            claim.outcome.set_result(rejection)
            self._rejected(rejection)
        self._changed()

    def _scored(self, claim: Claim, future: Future[Outcome]) -> None:
        self.drop(claim)
        with suppress(InvalidStateError):
            if future.cancelled():
                claim.outcome.cancel()
            elif error := future.exception():
                claim.outcome.set_exception(error)
            else:
                claim.outcome.set_result(future.result())
        self._changed()
