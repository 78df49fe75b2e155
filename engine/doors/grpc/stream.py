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
from concurrent.futures import Future
from itertools import islice
from typing import Any

import grpc

from assay.engine.core import Core
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.turns import HEAVY, IMAGES, Turns
from assay.engine.errors import AssayError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import to_message
from assay.engine.wire.pieces import InvalidMessage, Pieces, parse

# Outcomes of a message: a client with the default limit of 4 MiB must be able to read them all.
MOST_OUTCOMES = 64
# Characters, of at most 4 bytes, of the ids of a message, and of those of all that is unanswered. A longer id
# goes alone.
IDS = 1 << 19
# The core does not tell when room appears; this often, in seconds, a held image asks again.
RETRY_ROOM = 0.01


class Stream:
    """`to_item` makes the item of an image that came at a moment of `time.monotonic()`, or the rejection that
    answers it; it raises InvalidMessage.
    """

    def __init__(
        self,
        core: Core,
        bridge: Bridge,
        turns: Turns,
        context: "grpc.aio.ServicerContext[Any, Any]",
        to_item: Callable[[pb.Image, float], Item | Rejection],
        window: int,
    ) -> None:
        self._core = core
        self._bridge = bridge
        self._turns = turns
        self._context = context
        self._to_item = to_item
        self._window = window
        self._flying: set[Future[Outcome]] = set()
        self._ready: deque[Outcome] = deque()
        self._ids = 0  # characters of what is flying or ready
        self._error: AssayError | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._handler: asyncio.Task[Any] | None = None
        self._reading = False
        self._draining = False
        self._complete = False  # the client has sent all it wanted to
        self._evicted = False
        self._active = time.monotonic()

    async def run(self) -> None:
        """Returns when every image that was read is answered and the client, or `drain`, ended the input."""
        self._handler = asyncio.current_task()
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._changed.set())
        try:
            await self._write()
            self._reader.result()
            match self._error:
                case InvalidMessage():
                    await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(self._error))
                case AssayError():
                    await self._context.abort(grpc.StatusCode.UNAVAILABLE, str(self._error))
            if self._draining and not self._complete:
                await self._context.abort(
                    grpc.StatusCode.UNAVAILABLE,
                    "the server is draining; images without an outcome were not scored",
                )
        except asyncio.CancelledError:
            if not self._evicted:
                raise
            await self._context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "this stream stood still while another client waited for its place; open a new one",
            )
        finally:
            self._reader.cancel()
            for future in self._flying:
                future.cancel()

    def drain(self) -> None:
        """Reads no further; what was read is still answered."""
        self._draining = True
        if self._reading and self._reader is not None:
            self._reader.cancel()

    def idle(self) -> float:
        """Seconds since the client last sent a message or took one, while nothing of it is being scored."""
        return 0.0 if self._flying else time.monotonic() - self._active

    def evict(self) -> None:
        """Ends the stream without regard to what is unread."""
        self._evicted = True
        if self._handler is not None:
            self._handler.cancel()

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not self._draining and self._error is None:
                self._reading = True
                message = await self._context.read()
                self._reading = False
                if message is grpc.aio.EOF:  # type: ignore[attr-defined]
                    self._complete = True
                    return
                self._active = arrived = time.monotonic()
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
                self._room.clear()
                await self._room.wait()
                continue
            if isinstance(first, Rejection):
                self._ids += len(images.popleft().id)
                self._finish(first)
                continue
            items = self._portion(images)
            futures = self._core.offer(items)
            self._flying.update(futures)
            for future in futures:
                self._ids += len(images.popleft().id)
                self._bridge.watch(future, self._on_done)
            if len(futures) < len(items):
                await asyncio.sleep(RETRY_ROOM)
            elif images:
                await self._turns.next()

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

    def _on_done(self, future: Future[Outcome]) -> None:
        self._flying.discard(future)
        if future.cancelled():
            return
        match future.exception():
            case None:
                self._finish(future.result())
            case AssayError() as error:
                self._error = error
            case error:
                self._error = AssayError(f"the engine failed: {error}")
        self._changed.set()
        self._room.set()

    def _finish(self, outcome: Outcome) -> None:
        self._ready.append(outcome)
        self._changed.set()

    async def _write(self) -> None:
        assert self._reader is not None
        while not (self._reader.done() and not self._flying and not self._ready):
            await self._changed.wait()
            self._changed.clear()
            while self._ready:
                outcomes = self._batch()
                await self._context.write(pb.ScoreStreamResponse(outcomes=map(to_message, outcomes)))
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
