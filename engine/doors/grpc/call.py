"""What the streaming calls of the gRPC door have in common: how they begin, end, are drained and evicted."""

import asyncio
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any, ClassVar

import grpc

from assay.engine.doors.backend import Backend
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.turns import Turns
from assay.engine.errors import AssayError
from assay.engine.outcome import Outcome
from assay.engine.wire.pieces import InvalidMessage

# The core does not tell when room appears; this often, in seconds, a held image asks again.
RETRY_ROOM = 0.01


class StreamCall(ABC):
    """A reader takes messages while less than `window` is unanswered, a writer sends what is ready."""

    left: ClassVar[str]
    """What a client is told of its input that a drain leaves."""

    def __init__(
        self,
        core: Backend,
        bridge: Bridge,
        turns: Turns,
        context: "grpc.aio.ServicerContext[Any, Any]",
        window: int,
    ) -> None:
        self._core = core
        self._bridge = bridge
        self._turns = turns
        self._context = context
        self._window = window
        self._flying: set[Future[Outcome]] = set()
        self._error: AssayError | None = None
        self._changed = asyncio.Event()  # there may be something to write
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._handler: asyncio.Task[Any] | None = None
        self._reading = False
        self._draining = False
        self._complete = False  # the client has sent all it wanted to
        self._evicted = False
        self._active = time.monotonic()

    @abstractmethod
    async def _read(self) -> None:
        """Offers what comes to the core, until the input or the call ends."""

    @abstractmethod
    async def _write(self, reader: "asyncio.Task[None]") -> None:
        """Sends what is ready, until all that `reader` read is answered or the call failed."""

    @abstractmethod
    def _finish(self, outcome: Outcome) -> None:
        """An image has its outcome."""

    async def run(self) -> None:
        """Returns when all that was read is answered, and the client or `drain` ended the input."""
        self._handler = asyncio.current_task()
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._changed.set())
        try:
            await self._write(self._reader)
            if self._reader.done():
                self._reader.result()
            match self._error:
                case InvalidMessage():
                    await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(self._error))
                case AssayError():
                    await self._context.abort(grpc.StatusCode.UNAVAILABLE, str(self._error))
            if self._draining and not self._complete:
                await self._context.abort(grpc.StatusCode.UNAVAILABLE, f"the server is draining; {self.left}")
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
        self._room.set()
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

    async def _message(self) -> bytes | None:
        """The next message; None where the client has sent all it wanted to."""
        self._reading = True
        message = await self._context.read()
        self._reading = False
        if message is grpc.aio.EOF:  # type: ignore[attr-defined]
            self._complete = True
            return None
        self._active = time.monotonic()
        return message  # type: ignore[no-any-return]

    async def _wait(self) -> None:
        """Until an image is done, something was sent, or the stream is to end."""
        self._room.clear()
        await self._room.wait()

    def _on_done(self, future: Future[Outcome]) -> None:
        self._flying.discard(future)
        if not future.cancelled():
            match future.exception():
                case None:
                    self._finish(future.result())
                case AssayError() as error:
                    self._error = error
                case error:
                    self._error = AssayError(f"the engine failed: {error}")
        self._changed.set()
        self._room.set()
