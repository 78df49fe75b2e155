"""What waits for a worker: interactive items before the backlog, and before both what must run alone.

A batch holds images of one bundle; one whose evidence is drawn is alone in it. Nothing lingers for a batch to
fill; what is waiting is shared out among the workers that are free.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from assay.engine.core.pace import Pace
from assay.engine.item import Priority
from assay.engine.ticket import Ticket

Lane = OrderedDict[Ticket, None]
"""Tickets in order, any of which can leave at the same small cost."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold. An image that exceeds `encoded` or `bytes` by itself runs alone."""

    images: int
    encoded: int
    """Encoded bytes: the size of a slot."""
    bytes: int
    """Bytes of the budget."""
    ahead: float = math.inf
    """Seconds of work, at the present pace, that a busy worker is given ahead. It has to last from one answer
    to the next batch, and no longer: what comes meanwhile waits behind it, however urgent it is."""


class Queue:
    """Tickets in order of arrival, by lane. Thread-safe; `take` is called by one thread per worker.

    `pace`: what is known already of how long images take.
    """

    def __init__(self, limits: BatchLimits, pace: Pace | None = None) -> None:
        self._limits = limits
        self.pace = pace or Pace()
        self._suspects: Lane = OrderedDict()
        self._lanes: dict[Priority, dict[str, Lane]] = {priority: {} for priority in Priority}
        self._count = 0
        self._idle = 0
        self._closed = False
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def __len__(self) -> int:
        return self._count

    def seconds(self, priority: Priority) -> float:
        """What one worker needs, at the present pace, for all that goes before a ticket that comes now."""
        if not self._count:
            return 0.0
        with self._lock:
            waiting = [(ticket.bundle, 1) for ticket in self._suspects]
            for each, lanes in self._lanes.items():
                if each <= priority:
                    waiting += [(bundle, len(lane)) for bundle, lane in lanes.items()]
        return self.pace.total(waiting)

    def put(self, tickets: Iterable[Ticket]) -> None:
        with self._lock:
            for ticket in tickets:
                self._lane(ticket)[ticket] = None
                self._count += 1
            self._changed.notify(self._count)

    def put_back(self, tickets: Iterable[Ticket]) -> None:
        """Return tickets that a worker did not settle, to the front; suspects wait in a lane of their own."""
        with self._lock:
            for ticket in reversed(list(tickets)):
                lane = self._lane(ticket)
                lane[ticket] = None
                lane.move_to_end(ticket, last=False)
                self._count += 1
            self._changed.notify(self._count)

    def remove(self, ticket: Ticket) -> bool:
        """Whether `ticket` still waited; it does no more."""
        with self._lock:
            lane = self._lane(ticket)
            if ticket not in lane:
                return False
            del lane[ticket]
            self._count -= 1
            return True

    def _lane(self, ticket: Ticket) -> Lane:
        if ticket.suspect:
            return self._suspects
        return self._lanes[ticket.item.priority].setdefault(ticket.bundle, OrderedDict())

    def take(self, wait: bool) -> list[Ticket]:
        """The next batch. With `wait` blocks until there is one; empty only once closed and drained.

        Without `wait` (a worker that is busy asks for its next batch ahead) idle workers come first, and the
        batch holds no more than `ahead` seconds of work.
        """
        with self._lock:
            if wait:
                self._idle += 1
                self._changed.wait_for(lambda: self._count or self._closed)
                self._idle -= 1
            elif self._idle:
                return []
            batch = self._batch(-(-self._count // (self._idle + 1)), math.inf if wait else self._limits.ahead)
            self._count -= len(batch)
            return batch

    def _batch(self, share: int, seconds: float) -> list[Ticket]:
        if self._suspects:
            return [self._suspects.popitem(last=False)[0]]
        for lanes in self._lanes.values():
            waiting = [lane for lane in lanes.values() if lane]
            if waiting:
                return self._cut(min(waiting, key=lambda lane: next(iter(lane)).submitted), share, seconds)
        return []

    def _cut(self, lane: Lane, share: int, seconds: float) -> list[Ticket]:
        batch = [lane.popitem(last=False)[0]]
        encoded, held = len(batch[0].item.data), batch[0].bytes
        most, pace = min(self._limits.images, share), self.pace.of(batch[0].bundle)
        if batch[0].item.drawn:
            return batch
        while lane and len(batch) < most and len(batch) * pace < seconds:
            ticket = next(iter(lane))
            encoded += len(ticket.item.data)
            held += ticket.bytes
            if ticket.item.drawn or encoded > self._limits.encoded or held > self._limits.bytes:
                break
            batch.append(lane.popitem(last=False)[0])
        return batch

    def close(self) -> None:
        """No more will come: `take` gives out what is left, then empty batches."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Ticket]:
        """Take everything that waits, whatever its lane."""
        with self._lock:
            lanes = [self._suspects, *(lane for group in self._lanes.values() for lane in group.values())]
            tickets = [ticket for lane in lanes for ticket in lane]
            for lane in lanes:
                lane.clear()
            self._count = 0
            return tickets
