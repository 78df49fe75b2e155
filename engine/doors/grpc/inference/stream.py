"""One `ModelStreamInfer` call: requests in, one response for each, in their order.

A reader takes a request while those before it that are unanswered have fewer than `window` images, and offers
its images to the core as there is room; nothing more is read meanwhile, so a stream holds at most one message
beyond the byte budget.
What cannot be read, or names an unknown model, is an `error_message` in its place, and the stream goes on.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import grpc

from assay.engine.doors.backend import Backend
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.grpc.call import RETRY_ROOM, StreamCall
from assay.engine.doors.grpc.inference.messages import read_request, write_response
from assay.engine.doors.grpc.service import called, until
from assay.engine.doors.inference.answer import tensors_of, version_of
from assay.engine.doors.inference.request import Request
from assay.engine.doors.inference.statistics import Counted
from assay.engine.doors.turns import HEAVY, IMAGES, Turns
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.pieces import InvalidMessage

# The parameter of a response after which none follows for its request.
FINAL = "triton_final_response"
_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


@dataclass(eq=False)
class _Reply:
    """A request, or the sentence that answers it; `futures` has its images as the core takes them.

    A request that has a sentence is answered by it once what was taken of it is done.
    """

    arrived: float
    request: Request | None = None
    error: str = ""
    futures: list[Future[Outcome]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return len(self.request.images) if self.request else 1

    @property
    def complete(self) -> bool:
        taken = bool(self.error) or len(self.futures) == self.images
        return taken and all(future.done() for future in self.futures)


class InferStream(StreamCall):
    """`statistics` has those of each bundle."""

    left = "requests without a response were not scored"

    def __init__(
        self,
        core: Backend,
        bridge: Bridge,
        turns: Turns,
        context: "grpc.aio.ServicerContext[Any, Any]",
        window: int,
        statistics: Counted,
    ) -> None:
        super().__init__(core, bridge, turns, context, window)
        self._statistics = statistics
        self._until = until(context)
        self._caller = called(context, _SERVICE, "ModelStreamInfer")
        self._replies: deque[_Reply] = deque()
        self._held = 0  # images of all replies

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not self._draining and self._error is None:
                if self._held >= self._window:
                    await self._wait()
                    continue
                if (message := await self._message()) is None:
                    return
                if len(message) > HEAVY:
                    await self._turns.next()
                reply = self._reply(message)
                del message  # its images are held by the items alone
                self._replies.append(reply)
                self._held += reply.images
                self._changed.set()
                if reply.request is not None:
                    await self._enter(reply, deque(reply.request.items(self._caller)))

    def _reply(self, message: bytes) -> _Reply:
        try:
            request = read_request(message, self._core.bundles, self._active, self._until)
        except (InvalidMessage, SetupError) as error:
            return _Reply(self._active, error=str(error))
        return _Reply(self._active, request)

    async def _enter(self, reply: _Reply, items: deque[Item]) -> None:
        while items and self._error is None:
            if len(self._flying) >= self._window:
                await self._wait()
                continue
            portion = _portion(items, self._window - len(self._flying))
            try:
                futures = self._core.offer(portion)
            except SetupError as error:  # its bundle was unloaded since it came
                reply.error = str(error)
                self._changed.set()
                return
            except AssayError as error:
                self._error = error
                self._changed.set()
                return
            self._flying.update(futures)
            for future in futures:
                items.popleft()
                reply.futures.append(future)
                self._bridge.watch(future, self._on_done)
            if len(futures) < len(portion):
                await asyncio.sleep(RETRY_ROOM)
            elif items:
                await self._turns.next()

    def _finish(self, outcome: Outcome) -> None:
        """Nothing is to be done: its reply is written when all its images are done."""

    async def _write(self, reader: "asyncio.Task[None]") -> None:
        while self._error is None and not (reader.done() and not self._replies):
            await self._changed.wait()
            self._changed.clear()
            while self._error is None and self._replies and self._replies[0].complete:
                await self._context.write(self._response(self._replies[0]))
                self._held -= self._replies.popleft().images
                self._active = time.monotonic()
                self._room.set()

    def _response(self, reply: _Reply) -> pb.ModelStreamInferResponse:
        request = reply.request
        if request is None or reply.error:
            return pb.ModelStreamInferResponse(error_message=reply.error)
        outcomes = [future.result() for future in reply.futures]
        self._statistics.of(request.bundle).answered(outcomes, time.monotonic() - reply.arrived)
        response = write_response(request, tensors_of(request, outcomes), version_of(request, outcomes))
        response.parameters[FINAL].bool_param = True
        return pb.ModelStreamInferResponse(infer_response=response)


def _portion(items: Iterable[Item], most: int) -> Sequence[Item]:
    """From the front what goes to the core at once: at least one."""
    portion: list[Item] = []
    size = 0
    for item in items:
        size += len(item.data)
        if portion and (len(portion) >= min(most, IMAGES) or size > HEAVY):
            break
        portion.append(item)
    return portion
