"""Both ends of a link in one process, message by message, so that a test says which comes first."""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from io import BytesIO
from typing import Any

from PIL import Image

from assay.engine.bundle import Bundle
from assay.engine.core.pressure import Pressure
from assay.engine.errors import SetupError
from assay.engine.fronts.backend import FrontBackend
from assay.engine.fronts.link import Link
from assay.engine.fronts.ring import Ring
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings
from assay.engine.worker.channel import Channel


def jpeg(side: int = 64, grey: int = 100, quality: int = 80) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (side, side), (grey, grey, grey)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


class HandCore:
    """A core that does nothing by itself: a test settles what was taken. `room`: items that it still takes of
    those that are offered."""

    def __init__(self, bundles: Mapping[str, Bundle]) -> None:
        self.settings = Settings(workers=0)
        self.bundles = bundles
        self.serving = True
        self.room = 1 << 30
        self.fault: Exception | None = None
        self.now = Pressure(0.0, 0.0, False)
        self.taken: list[tuple[Item, Future[Outcome]]] = []

    def submit(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        return self._take(items)

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        taken = self._take(items[: self.room])
        self.room -= len(taken)
        return taken

    def pause(self, coming: int = 0) -> float | None:
        return self.now.pause(coming, self.settings.queue_seconds)

    def pressure(self) -> Pressure:
        return self.now

    def _take(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        if self.fault:
            raise self.fault
        for item in items:
            if item.bundle is not None and item.bundle not in self.bundles:
                raise SetupError(f"bundle {item.bundle} is not served")
        new: list[tuple[Item, Future[Outcome]]] = [(item, Future()) for item in items]
        self.taken += new
        return [future for _, future in new]


class Pair:
    """A front's backend and its link; `up` carries the next message to the engine, `down` to the front."""

    def __init__(self, core: Any, size: int = 1 << 20) -> None:
        ours, self._theirs = socket.socketpair()
        ring = Ring.create(size)
        self.ring = Ring(os.dup(ring.fd), size)
        self.link = Link(core, Channel(ours), ring, None)
        self.front = FrontBackend(core.settings, self.ring, lambda: None)
        self.link.publish(core.bundles, 1)
        self.down()

    def up(self) -> dict[str, Any]:
        message = _carried(self.front.gather())
        self.link.hear(message)
        return message

    def down(self) -> dict[str, Any]:
        message = _carried(self.link.gather())
        self.front.hear(message)
        return message

    def settle(self) -> None:
        """Carry until nothing is left to say."""
        while self.up() or self.down():
            pass

    def close(self) -> None:
        self.link.close()
        self.ring.close()
        self._theirs.close()


def _carried(message: dict[str, Any]) -> dict[str, Any]:
    carried: dict[str, Any] = json.loads(json.dumps(message))
    return carried
