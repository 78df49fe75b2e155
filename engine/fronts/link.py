"""One front, as the engine's process sees it: its items enter the core, its outcomes go back.

Two threads: one reads what the front says, one (the outbox) sends what it is to be told. What the core has no
room for waits in a lobby, which the front keeps small, and is offered again with every message and `RETRY`.
What was read is told with the next outcomes, where some will come: a message of its own costs both processes
the waking of a thread.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.core.pressure import Pressure
from assay.engine.core.refusals import not_served
from assay.engine.core.together import soon
from assay.engine.doors.backend import Backend, Operations
from assay.engine.errors import EngineFault, SetupError
from assay.engine.fronts import wire
from assay.engine.fronts.outbox import Outbox
from assay.engine.fronts.ring import Ring
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Rejection
from assay.engine.settings import MIB
from assay.engine.worker.channel import Channel

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import ImageTrace

RETRY = 0.02
"""Seconds after which what waits for room is offered again, whoever made some."""
OFFER = 64
"""Items that are offered at once."""
ANSWERS = 256
"""Outcomes of a message."""
UNTOLD = MIB
"""Bytes that may be read, or have left the lobby, before the front is told at once."""

log = logging.getLogger(__name__)


class Engine(Backend, Protocol):
    """What a link needs of the core."""

    def pressure(self) -> Pressure: ...


class Link:
    """`channel` and `ring` are shared with one front. Made, started, and closed once."""

    def __init__(self, core: Engine, channel: Channel, ring: Ring, operations: Operations | None) -> None:
        self._core = core
        self._channel = channel
        self._ring = ring
        self._operations = operations
        self._lock = threading.RLock()  # a core may answer within a call
        self._lobby: tuple[dict[int, Item], ...] = tuple({} for _ in Priority)
        self._away: dict[int, Future[Outcome]] = {}
        self._done: deque[tuple[int, ImageTrace | None, Future[Outcome]]] = deque()
        self._others: deque[dict[str, Any]] = deque()
        self._left = [0 for _ in Priority]
        self._read = self._told = 0
        self._asked = False
        self._closed = False
        self._knows = threading.Condition()
        self._edition = 0
        self._outbox = Outbox(channel, self.gather, lambda: RETRY if any(self._lobby) else None)

    def start(self) -> None:
        self._outbox.start()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message of its own."""
        self._others.append(message)
        self._outbox.notify()

    def publish(self, bundles: Mapping[str, Bundle], edition: int) -> None:
        """Tell the front what is served now."""
        self.tell({"bundles": [wire.bundle_of(each) for each in bundles.values()], "edition": edition})

    def wait_for(self, edition: int, seconds: float) -> bool:
        """Whether the front knows an edition of the bundles, within so many seconds, or is gone."""
        with self._knows:
            return self._knows.wait_for(lambda: self._closed or self._edition >= edition, seconds)

    def hear(self, message: dict[str, Any]) -> None:
        """What the front says; for the thread that reads. Raises ValueError where it cannot be."""
        if "items" in message:
            self._enter(message["items"])
        for number in message.get("cancel", ()):
            self._cancel(number)
        if "ask" in message:
            self._asked = True
        if "edition" in message:
            with self._knows:
                self._edition = message["edition"]
                self._knows.notify_all()
        for call, verb, name in message.get("operate", ()):
            self._operate(call, verb, name)
        if any(self._lobby):
            self._offer()
        if any(self._lobby) or self._must_tell():
            self._outbox.notify()

    def _must_tell(self) -> bool:
        """Whether the front needs a message now: much is untold, or no outcome will take it along."""
        untold = max(self._read - self._told, *self._left)
        return self._asked or untold >= UNTOLD or (untold > 0 and not self._away)

    def close(self) -> None:
        """The front is gone: nobody waits for what it gave away, whose bytes are free again."""
        with self._lock:
            self._closed = True
            for lobby in self._lobby:
                lobby.clear()
            away = self._away.copy()
        for future in away.values():
            future.cancel()
        with self._knows:
            self._knows.notify_all()
        self._outbox.close()
        self._channel.close()
        self._ring.close()

    def _enter(self, entries: Sequence[wire.Entry]) -> None:
        now: dict[int, Item] = {}
        with self._lock:
            for entry in entries:
                number, offset, length, end = entry[:4]
                item = wire.item_of(entry, self._ring.copy(offset, length))
                if entry[-1]:
                    self._lobby[item.priority][number] = item
                else:
                    now[number] = item
            self._read = end
            self._submit(now)

    def _submit(self, items: Mapping[int, Item]) -> None:
        if not items:
            return
        try:
            futures = self._core.submit([*items.values()])
        except (SetupError, EngineFault) as error:
            if len(items) > 1:  # a bundle was unloaded since one of them came: not the others' fault
                for number, item in items.items():
                    self._submit({number: item})
            else:
                self._watch(*next(iter(items.items())), _failed(error))
            return
        for (number, item), future in zip(items.items(), futures, strict=True):
            self._watch(number, item, future)

    def _watch(self, number: int, item: Item, future: Future[Outcome]) -> None:
        self._away[number] = future
        future.add_done_callback(partial(self._finished, number, item.trace))

    def _finished(self, number: int, trace: "ImageTrace | None", future: Future[Outcome]) -> None:
        """Called by a thread of the core, which must not wait: the lock is held while the core is called."""
        self._away.pop(number, None)
        if not future.cancelled():
            self._done.append((number, trace, future))
            soon(self._outbox.notify)
        elif not self._away:  # no outcome will take along what is untold
            self._outbox.notify()

    def _cancel(self, number: int) -> None:
        with self._lock:
            for lobby in self._lobby:
                if item := lobby.pop(number, None):
                    self._leave(item)
                    return
        if future := self._away.get(number):
            future.cancel()

    def _leave(self, item: Item) -> None:
        self._left[item.priority] += len(item.data)

    def _offer(self) -> None:
        """Have the core take from the lobby what it has room for."""
        with self._lock:
            for lobby in self._lobby:
                while lobby:
                    first = dict(islice(lobby.items(), OFFER))
                    try:
                        futures = self._core.offer([*first.values()])
                    except SetupError:
                        self._refuse_unserved(lobby)
                        continue
                    except EngineFault as error:
                        futures = [_failed(error) for _ in first]
                    for (number, item), future in zip(first.items(), futures, strict=False):
                        del lobby[number]
                        self._leave(item)
                        self._watch(number, item, future)
                    if len(futures) < len(first):
                        break

    def _refuse_unserved(self, lobby: dict[int, Item]) -> None:
        """Bundles were unloaded since items came that name them."""
        served = self._core.bundles
        for number, item in [*lobby.items()]:
            if item.bundle is not None and item.bundle not in served:
                del lobby[number]
                self._leave(item)
                why = str(not_served(item.bundle, served))
                rejection = Rejection(item.id, Reason.UNKNOWN_BUNDLE, why)
                telemetry.count(rejection, "")
                future: Future[Outcome] = Future()
                future.set_result(rejection)
                self._watch(number, item, future)

    def gather(self) -> dict[str, Any]:
        """What the front has to be told."""
        if self._others:
            return self._others.popleft()
        if any(self._lobby):
            self._offer()
        message: dict[str, Any] = {}
        if self._done:
            done = [self._done.popleft() for _ in range(min(ANSWERS, len(self._done)))]
            message["outcomes"] = [wire.answer_of(*each) for each in done]
        with self._lock:
            if self._read != self._told:
                message["read"] = self._told = self._read
            if any(self._left):
                message["left"], self._left = self._left, [0 for _ in Priority]
        if message or self._asked:
            self._asked = False
            message["pressure"] = self._core.pressure()
        return message

    def _operate(self, call: int, verb: str, name: str) -> None:
        if self._operations is None:
            self.tell({"operated": [call, wire.error_of(SetupError("there is nothing to operate"))]})
            return
        asked = self._operations.load(name) if verb == "load" else self._operations.unload(name)
        asked.add_done_callback(lambda done: self._operated(call, done))

    def _operated(self, call: int, done: Future[None]) -> None:
        error = done.exception()
        self.tell({"operated": [call, wire.error_of(error) if error else None]})


def _failed(error: Exception) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_exception(error)
    return future
