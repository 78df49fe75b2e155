"""One assigned partition: the records that the core took, in offset order, until the outcome is acknowledged.

The core finishes in any order. Outcomes leave in offset order all the same, and the position to commit is the
end of the unbroken run of acknowledged outcomes, never beyond a gap. Bookkeeping only: nothing here talks to
Kafka. Safe to use from several threads.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.engine.outcome import Outcome

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import ImageTrace


@dataclass(eq=False, slots=True)
class Taken:
    """A record that the core has, or had, with the future of its outcome."""

    record: Any
    size: int
    future: Future[Outcome]
    trace: "ImageTrace | None" = None
    sent_at: float = 0.0
    acknowledged: bool = field(default=False)


class Partition:
    """The records of one partition between the core's yes and the broker's acknowledgement."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Taken] = deque()  # not sent yet
        self._sent: deque[Taken] = deque()  # before `_waiting`; its first is never acknowledged
        self._bytes = 0
        self._position: int | None = None
        self.committed: int | None = None
        """Offset that the group's coordinator has noted, as far as this member knows; others set it."""
        self._suspended = False
        self._closed = False
        self._halted = False

    @property
    def position(self) -> int | None:
        """Offset after the unbroken run of acknowledged outcomes, or `skip_to`; None before the first."""
        return self._position

    @property
    def bytes(self) -> int:
        """Size of what was taken and not acknowledged."""
        return self._bytes

    @property
    def busy(self) -> bool:
        """Whether an outcome is still to come or to be acknowledged."""
        return bool(self._sent or self._waiting)

    @property
    def settled(self) -> bool:
        """Whether all that was sent is acknowledged."""
        return not self._sent

    @property
    def closed(self) -> bool:
        """Whether the partition is ours no more."""
        return self._closed

    @property
    def halted(self) -> bool:
        """Whether there is a record that the position must not pass."""
        return self._halted

    @property
    def stalled_since(self) -> float | None:
        """When (`time.monotonic()`) the outcome was sent that has waited longest; None where none waits."""
        with self._lock:
            return self._sent[0].sent_at if self._sent else None

    def take(self, taken: Taken) -> None:
        """Note a record that the core took. Offsets rise from call to call."""
        with self._lock:
            if not self._halted:
                self._waiting.append(taken)
                self._bytes += taken.size
                return
        taken.future.cancel()

    def ready(self, most: int | None = None) -> list[Taken]:
        """What can be sent now (at `most` so many), in offset order, and counts as sent from here on."""
        with self._lock:
            found: list[Taken] = []
            while not self._suspended and self._waiting and self._waiting[0].future.done():
                if len(found) == most:
                    break
                taken = self._waiting.popleft()
                taken.sent_at = time.monotonic()
                self._sent.append(taken)
                found.append(taken)
            return found

    def resend(self) -> list[Taken]:
        """What was sent and never acknowledged, in offset order, to be sent once more."""
        with self._lock:
            found = [] if self._closed else [taken for taken in self._sent if not taken.acknowledged]
            for taken in found:
                taken.sent_at = time.monotonic()
            return found

    def acknowledge(self, taken: Taken) -> None:
        """The broker has the outcome of `taken`; may come in any order, and twice after a resend."""
        with self._lock:
            taken.acknowledged = True
            while self._sent and self._sent[0].acknowledged:
                first = self._sent.popleft()
                self._position = first.record.offset + 1
                self._bytes -= first.size

    def skip_to(self, offset: int) -> None:
        """Nothing is to be answered before `offset`: where nothing is under way, the position moves there.
        Only for whoever calls `take`."""
        with self._lock:
            if not (self._sent or self._waiting or self._halted):
                self._position = max(offset, self._position or 0)

    def acknowledge_before(self, offset: int) -> None:
        """The brokers have the outcomes of all records before `offset` that were sent."""
        with self._lock:
            sent = [taken for taken in self._sent if taken.record.offset < offset]
        for taken in sent:
            self.acknowledge(taken)

    def suspend(self) -> None:
        """Send nothing, though outcomes be ready, until `resume`."""
        with self._lock:
            self._suspended = True

    def resume(self) -> None:
        """Send again; what became ready meanwhile too."""
        with self._lock:
            self._suspended = self._closed or self._halted

    def close(self) -> None:
        """Send nothing more. What was not sent is forgotten, and taken back where no worker has it yet;
        acknowledgements of what was sent still count."""
        with self._lock:
            self._closed = self._suspended = True
            dropped = self._drop_waiting()
        for taken in dropped:  # outside the lock: cancelling runs callbacks
            taken.future.cancel()

    def give_back(self) -> None:
        """Forget, and take back, the records from the first that no worker holds yet: their outcomes could
        not leave before its own. What is before it is finished and delivered. Only for whoever calls `take`.
        """
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
        # The last first, so that none goes to a worker because one before it was taken back. Outside the
        # lock, as cancelling runs callbacks, and out of `_waiting`, as a future taken back counts as done.
        taken_back = [taken.future.cancel() for taken in reversed(waiting)][::-1]
        kept = waiting[: taken_back.index(True)] if True in taken_back else waiting
        with self._lock:
            if self._closed or self._halted:
                kept = []
            self._waiting.extend(kept)
            self._bytes -= sum(taken.size for taken in waiting) - sum(taken.size for taken in kept)

    def halt(self, at: Taken) -> None:
        """Go no further: forget `at`, which was sent or was `ready`, and all behind it, now and later. What
        is before it is still delivered."""
        with self._lock:
            self._halted = self._suspended = True
            dropped = self._drop_waiting()
            kept = deque(taken for taken in self._sent if taken.record.offset < at.record.offset)
            self._bytes -= sum(taken.size for taken in self._sent) - sum(taken.size for taken in kept)
            self._sent = kept
        for taken in dropped:
            taken.future.cancel()

    def _drop_waiting(self) -> list[Taken]:
        dropped = list(self._waiting)
        self._waiting.clear()
        self._bytes -= sum(taken.size for taken in dropped)
        return dropped
