"""Workers that serve the same bundles, from a queue of their own.

New bundles come with a new fleet, which is whole and has passed its self-tests before it is given an image.
The one before it answers what it had taken, with the bundles that this was taken for, and ends.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Protocol

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.core.pace import Pace
from assay.engine.core.queue import BatchLimits, Queue
from assay.engine.core.runner import Runner, Worker
from assay.engine.detectors import detector_of, intermediate_bytes
from assay.engine.errors import BundleError, SetupError
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerProcess, slots

log = logging.getLogger(__name__)

AHEAD = 0.01
"""Seconds of work that a busy worker on a CPU is given ahead; a batch of few images takes no longer for each.
A GPU is given whole batches, which it needs."""


class Owner(Protocol):
    """Whom a fleet works for."""

    def settle(self, ticket: Ticket, outcome: Outcome) -> None: ...
    def drop(self, ticket: Ticket) -> None: ...


class Fleet:
    """Answers what is put into `queue`. `on_lost` is told why there is no worker any more; `pace` is what is
    known already of how long images take; `nice` lowers the priority of the processes.

    Raises:
        BundleError: a bundle cannot be served.
        SetupError: there is no bundle, or two of one name.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        settings: Settings,
        owner: Owner,
        on_lost: Callable[["Fleet", Exception], None],
        pace: Pace,
        nice: int = 0,
    ) -> None:
        self.bundles = {bundle.name: bundle for bundle in bundles}
        if not bundles or len(self.bundles) < len(bundles):
            raise SetupError("serve at least one bundle, and each name once")
        for bundle in bundles:
            detector_of(bundle)
        self.intermediate = {bundle.name: intermediate_bytes(bundle) for bundle in bundles}
        self.default = bundles[0].name
        ahead = math.inf if settings.devices else AHEAD
        limits = BatchLimits(settings.batch, settings.slot_bytes, settings.batch_bytes, ahead)
        self.queue = Queue(limits, pace)
        self.entering = 0
        """Callers that are putting something in; counted by the owner."""
        self._on_lost = on_lost
        self.settle, self.drop = owner.settle, owner.drop
        self._lock = threading.Lock()
        self.runners = [
            Runner(start, self.queue, self, name, slots(settings))
            for name, start in _workers(bundles, settings, nice).items()
        ]
        self.living = len(self.runners)
        self._shown = False
        self.never_ready: list[tuple[str, Exception]] = []
        """Workers that could not be started, and why."""

    def start(self) -> None:
        """Start all workers and wait for their self-tests; `never_ready` has those that did not pass."""
        self._start(self.runners)
        serving = Counter(runner.description for runner in self.runners if runner.description)
        for description, count in serving.items():
            log.info("%d workers serve %s", count, description)
        self._show(+1)

    def start_whole(self) -> None:
        """`start` with every worker, or with none: the first one tries the bundles by itself.

        Raises:
            BundleError: a bundle cannot be served.
            SetupError: a worker did not start.
        """
        self._start(self.runners[:1])
        if not self.never_ready:
            self._start(self.runners[1:])
        if not self.never_ready:
            self.start()
            return
        self.abort()
        name, cause = self.never_ready[0]
        if isinstance(cause, BundleError | SetupError):
            raise cause
        raise SetupError(f"{name} of the new ones did not start: {cause}") from cause

    def _start(self, runners: Sequence[Runner]) -> None:
        for runner in runners:
            if runner.ident is None:
                runner.start()
        for runner in runners:
            runner.ready.wait()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the workers' end once the queue is closed -> whether all have ended in time."""
        end = None if timeout is None else monotonic() + timeout
        for runner in self.runners:
            if runner.ident is not None:
                runner.join(None if end is None else max(0.0, end - monotonic()))
        return not any(runner.is_alive() for runner in self.runners)

    def abort(self) -> None:
        """End the workers at once, whatever they hold."""
        self.queue.close()
        for runner in self.runners:
            if runner.is_alive():
                runner.abort()
                runner.join()

    def pids(self) -> list[int]:
        """The process ids of the living workers."""
        return [pid for runner in self.runners if runner.is_alive() and (pid := runner.pid()) is not None]

    def ended(self, runner: Runner, cause: Exception | None) -> None:
        """A runner has given its device up (`cause`), or has drained the queue once it was closed."""
        with self._lock:
            self.living -= 1
            last = self.living == 0
        if cause and runner.ready.is_set():
            log.error("%s was given up: %s", runner.name, cause)
        elif cause:  # whoever started the fleet reports it: one sentence if none gets ready
            self.never_ready.append((runner.name, cause))
        if last and self._shown:
            self._show(-1)
        if last and cause:
            self._on_lost(self, cause)

    def _show(self, more: int) -> None:
        self._shown = more > 0
        for bundle in self.bundles.values():
            telemetry.BUNDLES.labels(bundle.name, bundle.version).inc(more)


def _workers(bundles: Sequence[Bundle], settings: Settings, nice: int) -> dict[str, Callable[[], Worker]]:
    """What starts each worker, by the worker's name."""
    start = partial(WorkerProcess, bundles, settings, **({"nice": nice} if nice else {}))
    if settings.devices:
        return {f"GPU {device}": partial(start, device) for device in settings.devices}
    if settings.workers:
        return {f"worker {number}": start for number in range(settings.workers)}
    from assay.engine.inline import InlineWorker  # loads what scores, which a front does not need

    return {"the inline worker": lambda: InlineWorker(bundles, settings)}
