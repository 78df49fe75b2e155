"""Several front processes as one door of the server: started, supervised, drained and ended together.

A front that ends while images are let in is replaced. What it had given away is cancelled, so that its bytes
are free again; its clients see a lost connection and try again, and what Kafka delivered to it goes to
another member of the group, because no offset was committed beyond its outcomes.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

from assay.engine.doors.backend import Operations
from assay.engine.doors.door import Door
from assay.engine.errors import AssayError, EngineFault
from assay.engine.fronts.counts import Sums
from assay.engine.fronts.link import Engine, Link
from assay.engine.fronts.place import Place
from assay.engine.fronts.process import FrontProcess, Plan

LEARN = 5.0
"""Seconds within which fronts take notice of a change of the bundles."""
LAST = 2.0
"""Seconds beyond a drain's own for a front to say that it is done."""

log = logging.getLogger(__name__)


class Watched(Engine, Protocol):
    """What fronts need of the core."""

    def on_fault(self, callback: Callable[[EngineFault], None]) -> None: ...


class Fronts(Door):
    """`count` of them over one core."""

    def __init__(self, core: Watched, plan: Plan, count: int) -> None:
        self._core = core
        self._plan = plan
        self._operations: Operations | None = None
        self._watchers: list[Callable[[AssayError], None]] = []
        self._told = threading.Lock()
        self._held = ExitStack()
        self._publishing = threading.Lock()
        self._edition = 0
        self.sums = Sums()
        self.places = [Place(number, self) for number in range(count)]

    def on_failure(self, callback: Callable[[AssayError], None]) -> None:
        self._watchers.append(callback)

    def operate(self, control: Operations) -> None:
        self._operations = control

    def start(self) -> None:
        """Returns when all are ready. Raises SetupError where one of them cannot be."""
        doors = [
            (name, kind, kind.spread.hold(settings, self._held))
            for name, kind, settings in self._plan.doors
            if kind.spread
        ]
        self._plan = replace(self._plan, doors=doors)
        self._core.on_fault(lambda _: self._tell_all({"lost": True}))
        for place in self.places:
            place.start()
        errors = [error for place in self.places if (error := place.wait_ready())]
        if errors:
            self.stop()
            raise errors[0]
        log.info("%d fronts", len(self.places))

    def serving(self) -> bool:
        """Whether any front lets images in."""
        return any(place.serving for place in self.places)

    def not_serving(self) -> None:
        for place in self.places:
            place.not_serving()

    def drain(self, timeout: float) -> None:
        for place in self.places:
            place.drain(timeout)
        for place in self.places:
            place.wait_drained(timeout + LAST)

    def stop(self) -> None:
        for place in self.places:
            place.end()
        for place in self.places:
            place.finish()
        self._held.close()

    def publish(self) -> None:
        """Returns when all fronts know which bundles are served now, so that whoever has changed them may use
        them wherever the next call goes."""
        with self._publishing:
            self._edition += 1
            links = [link for place in self.places if (link := place.link)]
            for link in links:
                link.publish(self._core.bundles, self._edition)
            edition = self._edition
        for link in links:
            link.wait_for(edition, LEARN)

    @property
    def pids(self) -> list[int]:
        """The process ids of the fronts."""
        return [pid for place in self.places if (pid := place.pid)]

    # What follows is for the places.

    def begin(self, place: Place) -> tuple[FrontProcess, Link]:
        """A process for a place, with its link, which is the place's from here on."""
        count, resumes = len(self.places), place.was_serving
        process = FrontProcess(self._plan, self._core.bundles, place.number, count, resumes)
        link = Link(self._core, process.channel, process.ring, self._operations)
        with self._publishing:
            place.link = link
            link.publish(self._core.bundles, self._edition)  # they may have changed since it was started
        link.start()
        return process, link

    def hear_counts(self, number: int, found: dict[str, Any]) -> None:
        """A front told what it counted. Of models all are told, so that any can be asked for statistics."""
        self.sums.add(number, found)
        if "models" in found:
            self.share(place for place in self.places if place.number != number)

    def share(self, places: Iterable[Place]) -> None:
        """Tell fronts what the others counted of models."""
        for place in places:
            if link := place.link:
                link.tell({"models": self.sums.elsewhere(place.number)})

    def failed(self, error: AssayError) -> None:
        """Serving cannot go on."""
        if self._told.acquire(blocking=False):
            for callback in self._watchers:
                callback(error)

    def _tell_all(self, message: dict[str, Any]) -> None:
        for place in self.places:
            if link := place.link:
                link.tell(message)
