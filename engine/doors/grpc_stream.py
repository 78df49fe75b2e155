"""One `ScoreStream` call: images in, outcomes out as they are ready.

A reader takes messages while fewer than `window` images are unanswered, a writer sends whatever is ready as
one message. What the core has no room for waits here, and nothing more is read: HTTP/2 flow control then
stops the client. So a stream holds at most one message beyond what the byte budget of the core counts.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc

from assay.engine.core import Core
from assay.engine.doors.bridge import Bridge
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import to_message

# Outcomes of a message: a client with the default limit of 4 MiB must be able to read them all.
MOST_OUTCOMES = 64
# The core does not tell when room appears; this often, in seconds, a held image asks again.
RETRY_ROOM = 0.01


class Stream:
    """`to_item` makes items of images and raises SetupError."""

    def __init__(
        self,
        core: Core,
        bridge: Bridge,
        context: "grpc.aio.ServicerContext[Any, Any]",
        to_item: Callable[[pb.Image], Item],
        window: int,
    ) -> None:
        self._core = core
        self._bridge = bridge
        self._context = context
        self._to_item = to_item
        self._window = window
        self._flying: set[Future[Outcome]] = set()
        self._ready: list[Outcome] = []
        self._error: AssayError | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._reading = False
        self._draining = False
        self._complete = False  # the client has sent all it wanted to

    async def run(self) -> None:
        """Returns when every image that was read is answered and the client, or `drain`, ended the input."""
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._changed.set())
        try:
            await self._write()
            self._reader.result()
            match self._error:
                case SetupError():
                    await self._context.abort(grpc.StatusCode.NOT_FOUND, str(self._error))
                case AssayError():
                    await self._context.abort(grpc.StatusCode.UNAVAILABLE, str(self._error))
            if self._draining and not self._complete:
                await self._context.abort(
                    grpc.StatusCode.UNAVAILABLE,
                    "the server is draining; images without an outcome were not scored",
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

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not self._draining and self._error is None:
                self._reading = True
                message = await self._context.read()
                self._reading = False
                if message is grpc.aio.EOF:  # type: ignore[attr-defined]
                    self._complete = True
                    return
                try:
                    await self._enter([self._to_item(image) for image in message.images])
                except AssayError as error:
                    self._error = error

    async def _enter(self, items: list[Item]) -> None:
        while items and self._error is None:
            free = self._window - len(self._flying) - len(self._ready)
            if free <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            futures = self._core.offer(items[:free])
            self._flying.update(futures)
            for future in futures:
                self._bridge.watch(future, self._on_done)
            items = items[len(futures) :]
            if items and len(futures) < free:
                await asyncio.sleep(RETRY_ROOM)

    def _on_done(self, future: Future[Outcome]) -> None:
        self._flying.discard(future)
        if future.cancelled():
            return
        match future.exception():
            case None:
                self._ready.append(future.result())
            case AssayError() as error:
                self._error = error
            case error:
                self._error = AssayError(f"the engine failed: {error}")
        self._changed.set()
        self._room.set()

    async def _write(self) -> None:
        assert self._reader is not None
        while not (self._reader.done() and not self._flying and not self._ready):
            await self._changed.wait()
            self._changed.clear()
            while self._ready:
                outcomes = self._ready[:MOST_OUTCOMES]
                await self._context.write(pb.ScoreStreamResponse(outcomes=map(to_message, outcomes)))
                del self._ready[: len(outcomes)]
                self._room.set()
