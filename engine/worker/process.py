"""The front's handle of one worker process: start it, hand it batches, hear outcomes, notice its end."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any
from weakref import WeakSet

from assay.engine import telemetry
from assay.engine.admission import Header
from assay.engine.bundle import Bundle
from assay.engine.errors import BundleError, SetupError
from assay.engine.outcome import Outcome, from_dict
from assay.engine.settings import Settings
from assay.engine.telemetry.logs import chosen
from assay.engine.ticket import Ticket
from assay.engine.worker.channel import Channel
from assay.engine.worker.gpu import environment
from assay.engine.worker.patience import Over, Patience, patience, processor_time, wait
from assay.engine.worker.slots import Slot

log = logging.getLogger(__name__)


def slots(settings: Settings) -> int:
    """Batches that a worker holds: one that it scores and one that is ready when it is done; for a GPU one
    more, which is checked while that one is decoded."""
    return 3 if settings.devices else 2


_values = attrgetter(*(field.name for field in fields(Header)))
"""The values of a header's fields, in order."""

STDERR = 2
"""Where a worker's standard output goes: nothing but outcomes may reach the front's."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Set to 1 for a worker, which owns one core."""


class WorkerLost(Exception):
    """The worker ended, or did not answer in time; the message says what is known."""


class WorkerSlow(WorkerLost):
    """The worker used more than `seconds` of processor time, and was decoding the image at `place`."""

    def __init__(self, message: str, seconds: float, place: int) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.place = place


@dataclass(frozen=True, slots=True)
class Stint:
    """An unanswered batch: where it lies, how many images it has, and how long it may take."""

    slot: Slot
    images: int
    patience: Patience


FAULTS: Mapping[str | None, type[Exception]] = {"BundleError": BundleError, "SetupError": SetupError}
"""What a worker may say that no other worker would do better."""


_living: "WeakSet[WorkerProcess]" = WeakSet()


def _let_go() -> None:
    """In a child made by fork: a worker ends when its front closes the channel, whatever children it left."""
    for worker in list(_living):
        worker.let_go()


os.register_at_fork(after_in_child=_let_go)


class WorkerProcess:
    """A running worker that has passed its self-test.

    With `device` it sees that GPU alone; `nice` is added to its niceness.

    Raises:
        BundleError: it cannot run one of the bundles.
        SetupError: a setting does not work on this machine.
        WorkerLost: it ended or failed its self-test.
    """

    program = "assay.engine.worker"
    """The module that runs in the process; benchmarks put another in its place."""

    def __init__(
        self, bundles: Sequence[Bundle], settings: Settings, device: int | None = None, nice: int = 0
    ) -> None:
        own = {name: "1" for name in THREADS if name not in os.environ}
        if device is not None:
            own = environment(device, os.environ)
        self._settings = settings
        self._slots = [Slot.create(settings.slot_bytes) for _ in range(slots(settings))]
        self._next = 0
        self._stints: deque[Stint] = deque()
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(slot.fd for slot in self._slots)]
        self._channel = Channel(ours)
        _living.add(self)
        with theirs:
            # -P: the caller's working directory must not shadow the modules of the worker
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.program, *map(str, fds)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=STDERR,
                env=os.environ | own,
            )
        try:
            self._tell(
                {
                    "settings": json.loads(settings.model_dump_json()),
                    "bundles": [str(Path(bundle.path).resolve()) for bundle in bundles],
                    "slot_bytes": settings.slot_bytes,
                    "nice": nice,
                    "log_level": log.getEffectiveLevel(),
                    "log_format": chosen(),
                }
            )
            hello = self._hear(settings.start_timeout)
            self.description: str = hello["ready"]
            for graph in hello["graphs"]:
                telemetry.GRAPHS.labels(*graph).set(1)
            self._pace: float = hello["pace"]
            self._used = 0.0
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises `WorkerLost` if the process has ended."""
        if self._process.poll() is not None:
            raise WorkerLost(self._last_words())

    def send(self, tickets: Sequence[Ticket]) -> None:
        """Hand over a batch; at most `slots` may be unanswered. Raises `WorkerLost`."""
        slot = self._slots[self._next]
        spans = slot.pack([ticket.item.data for ticket in tickets])
        images = [[*span, _values(ticket.header)] for span, ticket in zip(spans, tickets, strict=True)]
        message = {"slot": self._next, "bundle": tickets[0].bundle, "images": images}
        self._tell({**message, "drawn": tickets[0].item.drawn})
        if not self._stints:
            self._used = processor_time(self.pid)
        self._stints.append(Stint(slot, len(tickets), patience(tickets, self._settings, self._pace)))
        self._next = (self._next + 1) % len(self._slots)

    def receive(self) -> list[Outcome]:
        """The outcomes of the oldest unanswered batch, in order.

        Raises:
            WorkerSlow: decoding an image took more processor time than the batch may take.
            WorkerLost: the worker ended, or took longer for anything else.
        """
        stint = self._stints[0]
        self._await(stint)
        outcomes = [from_dict(record) for record in self._hear(stint.patience.clock)["outcomes"]]
        self._stints.popleft()
        self._used = processor_time(self.pid)  # the next batch is begun with the answer to this one
        return outcomes

    def _await(self, stint: Stint) -> None:
        """Wait until there is something to hear, as long as `stint` may take."""
        start, most = self._used, stint.patience
        over = wait(self._channel.ready, lambda: processor_time(self.pid) - start, most)
        place = stint.slot.in_hand
        if over is Over.CLOCK:
            raise WorkerLost(f"worker {self.pid} did not answer within {most.clock:.0f} s")
        if over is Over.PROCESSOR and most.processor:
            words = f"worker {self.pid} used more than the {most.processor:.1f} s of processor time that "
            words += f"its {stint.images} images may take"
            if place is None or place >= stint.images:  # it was not decoding
                raise WorkerLost(words)
            raise WorkerSlow(words, most.processor, place)

    def _tell(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except EOFError:
            self._hear(1.0)  # it may have left its last words
            raise WorkerLost(self._last_words()) from None

    def _hear(self, timeout: float) -> Any:
        try:
            message = self._channel.receive(timeout)
        except EOFError:
            raise WorkerLost(self._last_words()) from None
        except TimeoutError:
            raise WorkerLost(f"worker {self.pid} did not answer within {timeout:g} s") from None
        if "fault" in message:
            raise FAULTS.get(message.get("kind"), WorkerLost)(message["fault"])
        return message

    def _last_words(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return f"worker {self.pid} closed its channel"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"worker {self.pid} {how}"

    def interrupt(self) -> None:
        """End the process; whoever waits for it hears `WorkerLost`. May be called from any thread."""
        self._process.kill()

    def let_go(self) -> None:
        """Forget the worker without a word to it."""
        self._channel.close()

    def kill(self) -> None:
        """End the process at once and give its slots back."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        for slot in self._slots:
            slot.close()
