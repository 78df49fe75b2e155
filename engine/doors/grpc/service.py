"""The calls of `assay.v1.ScoringService`, translated to `core.submit` and back."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc

from assay.engine import telemetry
from assay.engine.core.refusals import not_served
from assay.engine.doors.backend import Backend
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.grpc.call import StreamCall
from assay.engine.doors.grpc.stream import Stream, unknown_bundle
from assay.engine.doors.turns import HEAVY, Turns
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Reason, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import answer
from assay.engine.wire.pieces import InvalidMessage, parse

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import Caller

SERVICE = pb.DESCRIPTOR.services_by_name["ScoringService"].full_name
Context = grpc.aio.ServicerContext
Request = TypeVar("Request")

# Seconds that a caller is told to wait whose image was read and then found no room.
PAUSE = 0.1
# Names the typed reason beside a status, so that a client can make a Rejection of it again.
REASON_KEY = "assay-reason"
# Seconds without a new call that end a hold, the most that it lasts, and how often it looks.
QUIET = 0.1
HOLD = 0.5
STEP = 0.01
# Longest id in bytes. It is echoed, and a client with the default limit of 4 MiB must be able to read it.
MAX_ID = 1 << 20
# Seconds that a stream may stand still while others wait for its place.
STANDSTILL = 30.0


class ScoringService:
    """`window` bounds the unanswered images of a stream, `max_streams` the streams open at once.

    What carries images takes the bytes of its messages, so that parsing has its turn, too, and gives bytes.
    `Score` reads its message itself, as a stream would, because a call that is refused must not be read
    first.
    """

    def __init__(self, core: Backend, bridge: Bridge, window: int, max_streams: int) -> None:
        self._core = core
        self._bridge = bridge
        self._window = window
        self._max_streams = max_streams
        self.turns = Turns()
        self._streams: set[StreamCall] = set()
        self._calls = 0
        self._parsing = 0
        self._arrived = 0.0
        self._draining = False
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """What a server dispatches the calls of the service to."""
        methods = {
            "Score": grpc.stream_unary_rpc_method_handler(self.score),
            "ScoreStream": grpc.stream_stream_rpc_method_handler(self.score_stream),
            "ListBundles": grpc.unary_unary_rpc_method_handler(
                self.list_bundles,
                pb.ListBundlesRequest.FromString,
                pb.ListBundlesResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def score(self, _requests: object, context: "Context[Any, Any]") -> bytes:
        arrived = time.monotonic()
        await self.enter(context)
        try:
            request = await self.read(context, partial(parse, pb.ScoreRequest))
            item = self._item(request.image, arrived, until(context), called(context, SERVICE, "Score"))
            del request  # the item has a copy of its bytes
            outcome = await self._bridge.score(item)
        except AssayError as error:
            await self.fail(context, error)
        if isinstance(outcome, Rejection):
            await self.refuse(context, outcome)
        return answer([outcome])

    async def score_stream(self, _requests: object, context: "Context[Any, Any]") -> None:
        deadline = until(context)  # images of a stream share the deadline of the call; each may ask for less
        caller = called(context, SERVICE, "ScoreStream")

        def to_item(image: pb.Image, arrived: float) -> Item | Rejection:
            try:
                return self._item(image, arrived, deadline, caller)
            except SetupError as error:
                return unknown_bundle(image.id, error)

        await self.stream(
            context, lambda: Stream(self._core, self._bridge, self.turns, context, to_item, self._window)
        )

    async def read(self, context: "Context[Any, Any]", parsed: Callable[[bytes], Request]) -> Request:
        """The one message of a unary call; the call is refused before it is read where more images wait than
        can be scored in time. Raises InvalidMessage, and what `parsed` raises.
        """
        pause = self._core.pause(self._parsing + self._bridge.waiting)
        if pause is not None:
            telemetry.count(Rejection("", Reason.OVERLOADED, ""), "")
            await _exhausted(context, "more images wait than the workers can score in time", pause)
        message = await context.read()
        if message is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise InvalidMessage("the call ended without a message")
        if len(message) > HEAVY:
            self._parsing += 1
            try:
                await self.turns.next()
            finally:
                self._parsing -= 1
        return parsed(message)

    async def fail(self, context: "Context[Any, Any]", error: AssayError) -> NoReturn:
        """Ends a unary call with the status that fits what was raised for its caller."""
        match error:
            case SetupError():
                await _abort(context, grpc.StatusCode.NOT_FOUND, str(error))
            case InvalidMessage():
                await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            case _:
                await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))

    async def stream(self, context: "Context[Any, Any]", open: Callable[[], StreamCall]) -> None:
        """Runs the stream that `open` makes for a call of any service here, if there is a place for it."""
        await self.enter(context)
        if self._draining:  # it was held until then: nothing of it is read, and nothing would end it
            await _abort(context, grpc.StatusCode.UNAVAILABLE, "the server is draining")
        if len(self._streams) >= self._max_streams and not self._evict():
            detail = f"{self._max_streams} streams are open, as many as are allowed"
            await _exhausted(context, detail, PAUSE)
        stream = open()
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def refuse(self, context: "Context[Any, Any]", rejection: Rejection) -> None:
        """Ends a call whose image was not looked at, for want of room or time; other reasons are answers."""
        match rejection.reason:
            case Reason.OVERLOADED:
                await _exhausted(context, rejection.detail, self._core.pause() or PAUSE)
            case Reason.DEADLINE:
                why = (REASON_KEY, Reason.DEADLINE.value)
                await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, rejection.detail, why)

    def _evict(self) -> bool:
        """Makes room by ending the stream that has stood still for longest, if one has for long enough."""
        oldest = max(self._streams, key=lambda stream: stream.idle())
        if oldest.idle() < STANDSTILL:
            return False
        self._streams.discard(oldest)
        oldest.evict()
        return True

    async def list_bundles(
        self, _request: pb.ListBundlesRequest, _context: "Context[Any, Any]"
    ) -> pb.ListBundlesResponse:
        bundles = self._core.bundles.values()
        return pb.ListBundlesResponse(
            bundles=[pb.Bundle(name=each.name, version=each.version, kind=each.kind) for each in bundles]
        )

    async def hold(self) -> bool:
        """Has new calls wait until none has come for a moment -> whether there was such a moment.

        gRPC cancels the calls that have arrived but are not dispatched when a server stops. Callers that
        wait send no others, so that after a moment there are none such; callers that send whatever becomes of
        their calls never stop.
        """
        self._open.clear()
        begun = self._arrived = time.monotonic()
        while (now := time.monotonic()) < min(self._arrived + QUIET, begun + HOLD):
            await asyncio.sleep(STEP)
            if time.monotonic() > now + 2 * STEP:  # held up: what came meanwhile is not seen yet
                self._arrived = time.monotonic()
        return time.monotonic() >= self._arrived + QUIET

    async def drain(self) -> None:
        """Lets held calls go on, ends the streams, and returns when all that was received is answered: its
        statuses are sent. What comes from now on is refused as UNAVAILABLE."""
        self._draining = True
        self._open.set()
        for stream in self._streams:
            stream.drain()
        await self._idle.wait()

    async def enter(self, context: "Context[Any, Any]") -> None:
        """A call has come, which `drain` waits for. While a drain begins it is held; later it is refused."""
        if self._draining:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, "the server is draining")
        self._calls += 1
        self._arrived = time.monotonic()
        self._idle.clear()
        context.add_done_callback(self._leave)  # type: ignore[arg-type]
        if not self._open.is_set():
            await self._open.wait()

    def _leave(self, _context: "Context[Any, Any]") -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    def _item(self, image: pb.Image, arrived: float, until: float | None, caller: "Caller | None") -> Item:
        """The item of an image; `until` is the deadline of its call.

        Raises SetupError for an unknown bundle, InvalidMessage for an id that is too long.
        """
        id = image.id
        if len(id) > MAX_ID // 4 and (size := len(id.encode())) > MAX_ID:
            raise InvalidMessage(f"an id of {size} bytes was sent; ids may have {MAX_ID}")
        bundle = image.bundle or None
        if bundle is not None and bundle not in self._core.bundles:
            raise not_served(bundle, self._core.bundles)
        deadline = until
        if image.HasField("timeout"):
            own = arrived + image.timeout.seconds + image.timeout.nanos * 1e-9
            deadline = own if until is None else min(own, until)
        trace = None if caller is None else caller.image(id)
        return Item(id, image.data, bundle, deadline, Priority.INTERACTIVE, trace=trace)


def called(context: "Context[Any, Any]", service: str, method: str) -> "Caller | None":
    """Who called, as the metadata of the call say; None while traces are off."""
    return telemetry.called(f"{service}/{method}", context.invocation_metadata)


def until(context: "Context[Any, Any]") -> float | None:
    """The deadline of a call as a moment of `time.monotonic()`."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


async def _exhausted(context: "Context[Any, Any]", detail: str, pause: float) -> NoReturn:
    """Tells the caller to come again after `pause` seconds."""
    await _abort(
        context,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        detail,
        ("grpc-retry-pushback-ms", str(round(1000 * pause))),
        (REASON_KEY, Reason.OVERLOADED.value),
    )


async def _abort(
    context: "Context[Any, Any]", code: grpc.StatusCode, detail: str, *metadata: tuple[str, str]
) -> NoReturn:
    await context.abort(code, detail, metadata)
    raise AssertionError("abort always raises")
