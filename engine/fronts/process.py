"""The engine's handle of one front process: start it, hear it, notice its end."""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.engine.bundle import Bundle
from assay.engine.doors.door import DoorKind
from assay.engine.fronts import wire
from assay.engine.fronts.ring import Ring
from assay.engine.settings import MIB, Settings
from assay.engine.telemetry.logs import chosen
from assay.engine.worker.channel import Channel
from assay.engine.worker.process import STDERR

ON_ITS_WAY = 8 * MIB
"""Bytes of shared memory for images on their way, beside the largest that the limits admit."""

log = logging.getLogger(__name__)


class FrontLost(Exception):
    """A front ended; the message says what is known."""


@dataclass(frozen=True)
class Plan:
    """What a front is told when it starts: its doors by name with their settings, and what all have alike."""

    doors: Sequence[tuple[str, DoorKind, Any]]
    settings: Settings
    repository: Path | None
    traces: bool


class FrontProcess:
    """A front that was started; it is ready when it says so. `resumes`: another was in its place. Raises
    FrontLost where it ended at once."""

    program = "assay.engine.fronts"
    """The module that it runs."""

    def __init__(
        self, plan: Plan, bundles: Mapping[str, Bundle], number: int, count: int, resumes: bool
    ) -> None:
        self.ring = Ring.create(ring_size(plan.settings))
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        fds = [theirs.fileno(), self.ring.fd]
        with theirs:
            # -P: the caller's working directory must not shadow the modules of the front
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.program, *map(str, fds)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=STDERR,
            )
        try:
            self.channel.send({**_setup(plan, bundles, number, count), "resumes": resumes})
        except EOFError:
            why = self._end()
            self.kill()
            self.channel.close()
            self.ring.close()
            raise FrontLost(why) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            AssayError: its last words.
            FrontLost: it has ended without any.
        """
        try:
            message: dict[str, Any] = self.channel.receive()
        except (EOFError, OSError):
            raise FrontLost(self._end()) from None
        if "fault" in message:
            error = wire.to_error(message["fault"])
            raise error if message["fault"][0] else FrontLost(f"front {self.pid} failed: {error}")
        return message

    def _end(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return f"front {self.pid} closed its channel"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"front {self.pid} {how}"

    def interrupt(self) -> None:
        """End the process; whoever hears it is told. From any thread."""
        self._process.kill()

    def kill(self) -> None:
        """End the process at once, and wait for its end."""
        self._process.kill()
        self._process.wait()


def _setup(plan: Plan, bundles: Mapping[str, Bundle], number: int, count: int) -> dict[str, Any]:
    parts = [
        (name, wire.plain(kind.spread.part(settings, number, count)))
        for name, kind, settings in plan.doors
        if kind.spread
    ]
    return {
        "settings": json.loads(plan.settings.model_dump_json()),
        "repository": plan.repository and str(plan.repository.absolute()),
        "traces": plan.traces,
        "ring": ring_size(plan.settings),
        "bundles": [wire.bundle_of(each) for each in bundles.values()],
        "doors": parts,
        "log_level": logging.getLogger().getEffectiveLevel(),
        "log_format": chosen(),
    }


def ring_size(settings: Settings) -> int:
    """Bytes of shared memory between a front and the engine."""
    return settings.limits.max_bytes + ON_ITS_WAY
