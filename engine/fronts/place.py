"""One place among the fronts, and the process that holds it at a time."""

import logging
import threading
from typing import TYPE_CHECKING, Any

from assay.engine import telemetry
from assay.engine.errors import AssayError, SetupError
from assay.engine.fronts import wire
from assay.engine.fronts.link import Link
from assay.engine.fronts.process import FrontLost, FrontProcess

if TYPE_CHECKING:
    from assay.engine.fronts.fronts import Fronts

TRIES = 3
"""Processes in a row that end before they are ready, and with them the server."""
PAUSE = 0.5
"""Seconds between two of them."""
CLOSING = 6.0
"""Seconds that a front may take to close its doors: as long as leaving a consumer group may."""

log = logging.getLogger(__name__)


class Place(threading.Thread):
    """A thread that starts a process, hears it, and starts another when it has ended."""

    def __init__(self, number: int, fronts: "Fronts") -> None:
        super().__init__(name=f"assay-front-{number}", daemon=True)
        self.number = number
        self.link: Link | None = None
        self._fronts = fronts
        self._process: FrontProcess | None = None
        self._changed = threading.Condition()
        self._ready = self._was_ready = self._drained = False
        self._quiet = False  # health says NOT_SERVING
        self._over = False  # whoever ends from here on is not replaced
        self._error: AssayError | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def serving(self) -> bool:
        """Whether a process lets images in."""
        return self._ready

    @property
    def was_serving(self) -> bool:
        """Whether one ever did."""
        return self._was_ready

    def wait_ready(self) -> AssayError | None:
        """Until a process is ready, or why none will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._was_ready or self._over)
            return self._error

    def not_serving(self) -> None:
        with self._changed:
            self._quiet = True
            if self._ready:
                self._order("not_serving")

    def drain(self, seconds: float) -> None:
        with self._changed:
            self._over = True
            if self._ready:
                self._order("drain", seconds=seconds)
            elif self._process:  # nobody was let in by it
                self._process.interrupt()
            self._changed.notify_all()

    def wait_drained(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._drained or not self.is_alive(), seconds)

    def end(self) -> None:
        """Close the doors, whatever is under way."""
        with self._changed:
            self._over = True
            if self._ready:
                self._order("stop")
            elif self._process:
                self._process.interrupt()
            self._changed.notify_all()

    def finish(self) -> None:
        """After `end`: until the process has ended, which it is made to where it takes long."""
        if self.ident is None:
            return
        self.join(CLOSING)
        if self._process:
            self._process.interrupt()
        self.join()

    def _order(self, what: str, **more: Any) -> None:
        if self.link:
            self.link.tell({"order": what, **more})

    def run(self) -> None:
        failures = 0
        while not self._over:
            why, was_ready = self._live()
            if self._over:
                break
            failures = 0 if was_ready else failures + 1
            if failures == TRIES or (isinstance(why, AssayError) and not self._was_ready):
                self._give_up(why, failures)
                break
            log.warning("%s; starting another", why)
            telemetry.FRONT_RESTARTS.inc()
            with self._changed:
                self._changed.wait_for(lambda: self._over, PAUSE if failures else 0)
        with self._changed:
            self._over = self._drained = True
            self._changed.notify_all()

    def _live(self) -> tuple[Exception, bool]:
        """One process, from start to end -> why it ended, and whether it was ready."""
        process = link = None
        try:
            process, link = self._fronts.begin(self)
            with self._changed:
                self._process = process
                if self._over:
                    process.interrupt()
            while True:
                self._hear(process.receive(), link)
        except Exception as error:
            if not isinstance(error, AssayError | FrontLost):
                log.exception("a front failed")
            return error, self._ready
        finally:
            self._leave(process, link)

    def _leave(self, process: FrontProcess | None, link: Link | None) -> None:
        with self._changed:
            if self._ready:
                telemetry.FRONTS.dec()
            self._ready = False
            self._process = self.link = None
            self._changed.notify_all()
        if process:
            process.kill()
        if link:
            link.close()
        self._fronts.sums.forget(self.number)

    def _hear(self, message: dict[str, Any], link: Link) -> None:
        if "ready" in message:
            telemetry.FRONTS.inc()
            with self._changed:
                self._ready = self._was_ready = True
                self._fronts.share([self])
                if self._quiet:
                    self._order("not_serving")
                self._changed.notify_all()
        elif "drained" in message:
            with self._changed:
                self._drained = True
                self._changed.notify_all()
        elif "failed" in message:
            self._fronts.failed(wire.to_error(message["failed"]))
        elif "counts" in message:
            self._fronts.hear_counts(self.number, message["counts"])
        else:
            link.hear(message)

    def _give_up(self, why: Exception, failures: int) -> None:
        error = why if isinstance(why, AssayError) else None
        if error is None or self._was_ready:
            error = SetupError(f"front processes do not start, {failures} times in a row: {why}")
        with self._changed:
            self._error = error
        self._fronts.failed(error)
