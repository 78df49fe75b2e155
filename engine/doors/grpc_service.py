"""The calls of `assay.v1.ScoringService`, translated to `core.submit` and back."""

import asyncio
import time
from typing import Any, NoReturn

import grpc

from assay.engine.core import Core
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.grpc_stream import Stream
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Reason, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc
from assay.engine.wire.convert import to_message

Context = grpc.aio.ServicerContext

# What a refused caller is told to wait: about what a core needs for the images of one batch.
RETRY_AFTER_MS = "100"
# Names the typed reason beside a status, so that a client can make a Rejection of it again.
REASON_KEY = "assay-reason"
# Seconds without a new call that end a hold, and the most that it lasts.
QUIET = 0.1
HOLD = 0.5
_PUSHBACK = ("grpc-retry-pushback-ms", RETRY_AFTER_MS)


class ScoringService(scoring_pb2_grpc.ScoringServiceServicer):
    """`window` bounds the unanswered images of a stream, `max_streams` the streams open at once."""

    def __init__(self, core: Core, bridge: Bridge, window: int, max_streams: int) -> None:
        self._core = core
        self._bridge = bridge
        self._window = window
        self._max_streams = max_streams
        self._streams: set[Stream] = set()
        self._calls = 0
        self._arrived = 0.0
        self._draining = False
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def Score(self, request: pb.ScoreRequest, context: "Context[Any, Any]") -> pb.ScoreResponse:
        self._enter()
        try:
            await self._open.wait()
            item = self._item(request.image, context.time_remaining())
            outcome = await self._bridge.score(item)
        except SetupError as error:
            return await _abort(context, grpc.StatusCode.NOT_FOUND, str(error))
        except AssayError as error:
            return await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))
        finally:
            self._leave()
        match outcome:
            case Rejection(reason=Reason.OVERLOADED):
                return await _refuse(context, outcome.detail)
            case Rejection(reason=Reason.DEADLINE):
                return await _abort(
                    context,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    outcome.detail,
                    (REASON_KEY, Reason.DEADLINE.value),
                )
        return pb.ScoreResponse(outcome=to_message(outcome))

    async def ScoreStream(self, _requests: object, context: "Context[Any, Any]") -> None:
        self._enter()
        try:
            await self._open.wait()
            if self._draining:
                await _abort(context, grpc.StatusCode.UNAVAILABLE, "the server is draining")
            if len(self._streams) >= self._max_streams:
                await _refuse(context, f"{self._max_streams} streams are open, as many as are allowed")
            await self._stream(context)
        finally:
            self._leave()

    async def _stream(self, context: "Context[Any, Any]") -> None:
        remaining = context.time_remaining()
        # Images of a stream share the deadline of the call; each may ask for less.
        until = None if remaining is None else time.monotonic() + remaining

        def to_item(image: pb.Image) -> Item:
            return self._item(image, None if until is None else until - time.monotonic())

        stream = Stream(self._core, self._bridge, context, to_item, self._window)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def ListBundles(
        self, _request: pb.ListBundlesRequest, _context: "Context[Any, Any]"
    ) -> pb.ListBundlesResponse:
        bundles = self._core.bundles.values()
        return pb.ListBundlesResponse(
            bundles=[pb.Bundle(name=each.name, version=each.version, kind=each.kind) for each in bundles]
        )

    async def hold(self) -> None:
        """Has new calls wait, and returns once none has come for a moment.

        gRPC cancels the calls that have arrived but are not dispatched when a server stops. Callers that
        wait send no others, so that after a moment there are none such.
        """
        self._open.clear()
        begun = self._arrived = time.monotonic()
        while (wait := min(self._arrived + QUIET, begun + HOLD) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def drain(self) -> None:
        """Lets held calls go on, ends the streams, and returns when all that was received is answered."""
        self._open.set()
        self._draining = True
        for stream in self._streams:
            stream.drain()
        await self._idle.wait()

    def _enter(self) -> None:
        self._calls += 1
        self._arrived = time.monotonic()
        self._idle.clear()

    def _leave(self) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    def _item(self, image: pb.Image, remaining: float | None) -> Item:
        """Raises SetupError for an unknown bundle. `remaining` are the seconds that the call has left."""
        bundle = image.bundle or None
        if bundle is not None and bundle not in self._core.bundles:
            raise SetupError(f"bundle {bundle!r} is not served here; served: {', '.join(self._core.bundles)}")
        if image.HasField("timeout"):
            timeout = image.timeout.seconds + image.timeout.nanos * 1e-9
            remaining = timeout if remaining is None else min(timeout, remaining)
        deadline = None if remaining is None else time.monotonic() + remaining
        return Item(image.id, image.data, bundle, deadline, Priority.INTERACTIVE)


async def _refuse(context: "Context[Any, Any]", detail: str) -> NoReturn:
    await _abort(
        context,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        detail,
        _PUSHBACK,
        (REASON_KEY, Reason.OVERLOADED.value),
    )


async def _abort(
    context: "Context[Any, Any]", code: grpc.StatusCode, detail: str, *metadata: tuple[str, str]
) -> NoReturn:
    await context.abort(code, detail, metadata)
    raise AssertionError("abort always raises")
