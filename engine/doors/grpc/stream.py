"""One `ScoreStream` call: images in, outcomes out as they are ready.

A reader takes messages while fewer than `window` images are unanswered, a writer sends whatever is ready as
one message. What the core has no room for waits here, and nothing more is read: HTTP/2 flow control then
stops the client. So a stream holds at most one message beyond what the byte budget of the core counts, and
`IDS` characters of what it has to echo.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import grpc

from assay.engine import telemetry
from assay.engine.core.refusals import not_served
from assay.engine.doors.backend import Backend
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.grpc.call import RETRY_ROOM, StreamCall
from assay.engine.doors.turns import HEAVY, IMAGES, Turns
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import answer
from assay.engine.wire.pieces import Pieces, parse

# Outcomes of a message: a client with the default limit of 4 MiB must be able to read them all.
MOST_OUTCOMES = 64
# Characters, of at most 4 bytes, of the ids of a message, and of those of all that is unanswered. A longer id
# goes alone.
IDS = 1 << 19


class Stream(StreamCall):
    """`to_item` makes the item of an image that came at a moment of `time.monotonic()`, or the rejection that
    answers it; it raises InvalidMessage.
    """

    left = "images without an outcome were not scored"

    def __init__(
        self,
        core: Backend,
        bridge: Bridge,
        turns: Turns,
        context: "grpc.aio.ServicerContext[Any, Any]",
        to_item: Callable[[pb.Image, float], Item | Rejection],
        window: int,
    ) -> None:
        super().__init__(core, bridge, turns, context, window)
        self._to_item = to_item
        self._ready: deque[Outcome] = deque()
        self._ids = 0  # characters of what is flying or ready

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not self._draining and self._error is None:
                if (message := await self._message()) is None:
                    return
                arrived = self._active
                wait = len(message) > HEAVY
                parts = Pieces(message, IMAGES)
                del message  # its bytes are held no longer than it takes to enter them
                try:
                    while parts and self._error is None:
                        if wait:
                            await self._turns.next()
                        await self._enter(self._images(parts.take(), arrived))
                        wait = True
                except AssayError as error:
                    self._error = error

    def _images(self, part: bytes, arrived: float) -> deque[Item | Rejection]:
        images = parse(pb.ScoreStreamRequest, part).images
        return deque(self._to_item(image, arrived) for image in images)

    async def _enter(self, images: deque[Item | Rejection]) -> None:
        while images and self._error is None:
            first = images[0]
            if not self._fits(first):
                await self._wait()
                continue
            if isinstance(first, Rejection):
                self._ids += len(images.popleft().id)
                self._finish(first)
                continue
            items = self._portion(images)
            try:
                futures = self._core.offer(items)
            except SetupError:
                self._refuse_unserved(images)
                continue
            self._flying.update(futures)
            for future in futures:
                self._ids += len(images.popleft().id)
                self._bridge.watch(future, self._on_done)
            if len(futures) < len(items):
                await asyncio.sleep(RETRY_ROOM)
            elif images:
                await self._turns.next()

    def _refuse_unserved(self, images: deque[Item | Rejection]) -> None:
        """Bundles were unloaded since images came that name them."""
        served = self._core.bundles
        for place, image in enumerate(images):
            if isinstance(image, Item) and image.bundle is not None and image.bundle not in served:
                images[place] = unknown_bundle(image.id, not_served(image.bundle, served))

    def _fits(self, image: Item | Rejection) -> bool:
        unanswered = len(self._flying) + len(self._ready)
        return unanswered < self._window and (not unanswered or self._ids + len(image.id) <= IDS)

    def _portion(self, images: deque[Item | Rejection]) -> list[Item]:
        """From the front what goes to the core at once; the first one fits."""
        items: list[Item] = []
        ids, size = self._ids, 0
        for item in islice(images, self._window - len(self._flying) - len(self._ready)):
            if isinstance(item, Rejection):
                break
            ids += len(item.id)
            size += len(item.data)
            if items and (ids > IDS or size > HEAVY):
                break
            items.append(item)
        return items

    def _finish(self, outcome: Outcome) -> None:
        self._ready.append(outcome)
        self._changed.set()

    async def _write(self, reader: "asyncio.Task[None]") -> None:
        while not (reader.done() and not self._flying and not self._ready):
            await self._changed.wait()
            self._changed.clear()
            while self._ready:
                outcomes = self._batch()
                await self._context.write(answer(outcomes))
                for outcome in outcomes:
                    self._ready.popleft()
                    self._ids -= len(outcome.id)
                self._active = time.monotonic()
                self._room.set()

    def _batch(self) -> list[Outcome]:
        """The outcomes of the next message."""
        outcomes: list[Outcome] = []
        ids = 0
        for outcome in islice(self._ready, MOST_OUTCOMES):
            ids += len(outcome.id)
            if outcomes and ids > IDS:
                break
            outcomes.append(outcome)
        return outcomes


def unknown_bundle(id: str, error: SetupError) -> Rejection:
    """What an image of a stream is answered that names a bundle which is not served."""
    rejection = Rejection(id, Reason.UNKNOWN_BUNDLE, str(error))
    telemetry.count(rejection, "")
    return rejection
