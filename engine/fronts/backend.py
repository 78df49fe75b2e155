"""The core as the doors of a front process see it: everything goes on to the one in the engine's process.

What a front does itself is reading headers, so that what is refused by them never leaves it. Calls return at
once: an item that was given away is a future, and how many may be given away is known here. What is on its
way lies in the ring. Of what may wait for room (`offer`) `LOBBY` bytes of each priority wait with the engine,
which says when they have left; beyond that nothing is taken, as where a core has no room.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from assay.engine import telemetry
from assay.engine.admission import Header, admit
from assay.engine.bundle import Bundle
from assay.engine.core.pressure import Pressure
from assay.engine.core.refusals import not_served
from assay.engine.core.together import together
from assay.engine.errors import EngineFault
from assay.engine.fronts import wire
from assay.engine.fronts.ring import Ring
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.settings import MIB, Settings

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import ImageTrace

LOBBY = 8 * MIB
"""Bytes of each priority that a front may have waiting for room; one image, however large, may always."""
FRESH = 0.02
"""Seconds for which what the engine said of its pressure is believed where it means refusing."""

log = logging.getLogger(__name__)


class _Away(Future[Outcome]):
    """The outcome of an item that was given away. Cancelling says so to the engine."""

    def __init__(self, owner: "FrontBackend", number: int, trace: "ImageTrace | None") -> None:
        super().__init__()
        self.trace = trace
        self._owner = owner
        self._number = number

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._owner.cancel(self._number)
        return cancelled


class FrontBackend:
    """A `Backend`. `notify` is called when there is something to `gather`. Thread-safe."""

    def __init__(self, settings: Settings, ring: Ring, notify: Callable[[], None]) -> None:
        self.settings = settings
        self.bundles: Mapping[str, Bundle] = {}
        self.serving = True
        self._ring = ring
        self._notify = notify
        self._lock = threading.Lock()
        self._numbers = count()
        self._away: dict[int, _Away] = {}
        self._entries: list[wire.Entry] = []
        self._cancelled: list[int] = []
        self._lobby = [0 for _ in Priority]
        self._pressure = Pressure(0.0, 0.0, False)
        self._heard = 0.0
        self._since = 0
        self._asking = self._asked = False

    def submit(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        return self._enter(items, waits=False)

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        return self._enter(items, waits=True)

    def pause(self, coming: int = 0) -> float | None:
        """As the engine last said; where that is a while ago and would refuse, it is asked anew."""
        now = monotonic()
        said = self._pressure
        ahead = max(0.0, said.ahead - (now - self._heard))
        pause = said._replace(ahead=ahead).pause(coming + self._since, self.settings.queue_seconds)
        if pause is not None and not self._asking and now - self._heard > FRESH:
            self._asking = True
            self._notify()
        return pause

    def _enter(self, items: Sequence[Item], waits: bool) -> list[Future[Outcome]]:
        if not self.serving:
            raise EngineFault("no worker is left")
        bundles = self.bundles
        default = next(iter(bundles))
        for item in items:  # an unknown name must not leave half of them taken
            if item.bundle is not None and item.bundle not in bundles:
                raise not_served(item.bundle, bundles)
        futures: list[Future[Outcome]] = []
        for item in items:
            found = self._look(item, bundles[item.bundle or default])
            future = self._send(item, found, waits) if isinstance(found, Header) else None
            if future is None:
                if isinstance(found, Header) and waits:
                    break
                rejection = _no_room(item) if isinstance(found, Header) else found
                telemetry.count(rejection, item.bundle or default)
                future = Future()
                future.set_result(rejection)
            if item.trace is not None:
                future.add_done_callback(item.trace.done)
            futures.append(future)
        self._notify()
        return futures

    def _look(self, item: Item, bundle: Bundle) -> Header | Rejection:
        try:
            return admit(item.data, self.settings.limits, bundle.manifest.min_side)
        except Refused as refused:
            return refused.rejection(item.id)
        except Exception as error:  # a defect of ours, which must not take a door down with it
            log.exception("admission of %r failed", item.id, extra=telemetry.about(item))
            detail = f"Reading the headers of this image failed: {type(error).__name__}: {error}"
            return Rejection(item.id, Reason.INTERNAL, detail)

    def _send(self, item: Item, header: Header, waits: bool) -> Future[Outcome] | None:
        """None where there is no room."""
        size = len(item.data)
        with self._lock:
            lobby = self._lobby[item.priority]
            if waits and lobby and lobby + size > LOBBY:
                return None
            place = self._ring.write(item.data)
            if place is None:
                return None
            if waits:
                self._lobby[item.priority] += size
            number = next(self._numbers)
            future = self._away[number] = _Away(self, number, item.trace)
            self._entries.append(wire.entry_of(number, place, item, header, waits))
            self._since += 1
        return future

    def cancel(self, number: int) -> None:
        """Nobody waits for the item any more."""
        with self._lock:
            if self._away.pop(number, None) is None:
                return
            self._cancelled.append(number)
        self._notify()

    def gather(self) -> dict[str, Any]:
        """What the engine has to be told."""
        with self._lock:
            message: dict[str, Any] = {}
            if self._entries:
                message["items"], self._entries = self._entries, []
            if self._cancelled:
                message["cancel"], self._cancelled = self._cancelled, []
            if self._asking and not self._asked:
                message["ask"] = self._asked = True
        return message

    def hear(self, message: dict[str, Any]) -> None:
        """What the engine says."""
        if "bundles" in message:
            bundles = [wire.to_bundle(said) for said in message["bundles"]]
            self.bundles = {bundle.name: bundle for bundle in bundles}
        if "lost" in message:
            self.serving = False
        with self._lock:
            if "read" in message:
                self._ring.read_to(message["read"])
            for priority, size in enumerate(message.get("left", ())):
                self._lobby[priority] -= size
            if "pressure" in message:
                self._pressure = Pressure(*message["pressure"])
                self._heard = monotonic()
                self._since = 0
                self._asking = self._asked = False
            answers = [(self._away.pop(said[0], None), said) for said in message.get("outcomes", ())]
        with together():
            for future, said in answers:
                if future is not None:
                    wire.answer(future, future.trace, said)


def _no_room(item: Item) -> Rejection:
    detail = "the engine has not read yet what was sent before; try again shortly, or start more fronts"
    return Rejection(item.id, Reason.OVERLOADED, detail, {"bytes": len(item.data)})
