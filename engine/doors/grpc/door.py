"""The gRPC door: `assay.v1.ScoringService`, the Open Inference Protocol, health checking and reflection.

The server is asyncio's and lives in a thread of its own with its own event loop; the core stays without.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from assay.engine.doors.address import check_free, parse_address, reserve
from assay.engine.doors.backend import Backend, Operations
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.door import Door, DoorKind, Spread
from assay.engine.doors.grpc.connections import close_connections
from assay.engine.doors.grpc.inference import service as inference
from assay.engine.doors.grpc.reflection import Descriptors
from assay.engine.doors.grpc.service import SERVICE, ScoringService
from assay.engine.doors.inference.statistics import Counted
from assay.engine.errors import SetupError
from assay.engine.security import Certificates, Secured, Tokens, warn_if_open
from assay.engine.security.guard import Guard
from assay.engine.wire.pieces import MAX_MESSAGE

# Calls of one connection at a time; a client keeps the others back until one of them has ended.
CONNECTION_CALLS = 256
# A peer that is silent for so long, in milliseconds, is asked for a sign of life, and taken for lost without
# one; one that has not begun to speak HTTP/2 is not waited for longer.
ALIVE = 60_000
ANSWER = 20_000
# Once every image is answered: for the last statuses to be sent and read, before what is left is cut off.
LAST_WORDS = 0.5

log = logging.getLogger(__name__)


def _still_there(record: logging.LogRecord) -> bool:
    """False for gRPC's tracebacks about callers that left before they were answered."""
    return not (record.exc_info and type(record.exc_info[1]).__name__ == "ExecuteBatchError")


class GrpcSettings(Secured):
    """Settings of the gRPC door; as variables: `ASSAY_GRPC_ADDRESS` and so on."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_GRPC_", extra="forbid", frozen=True)

    address: str
    """`HOST:PORT` to listen on."""
    stream_window: int = Field(128, gt=0)
    """Most images of one stream that are unanswered at a time; beyond it the client waits."""
    max_streams: int = Field(64, gt=0)
    """Most streams at a time. Each may hold one message, at most 32 MiB, beyond the engine's byte budget.
    Where all are taken, one that has stood still for half a minute makes room for a new one."""


class GrpcDoor(Door):
    """Serves one core over gRPC. `port` is the one that is listened on, once started.

    `shared`: other processes listen on it, too, and the system spreads connections over them.
    """

    def __init__(self, core: Backend, settings: GrpcSettings, shared: bool = False) -> None:
        self._shared = shared
        self.counted: Counted = Counted()
        self._core = core
        self._control: Operations | None = None
        self._settings = settings
        self._host, self.port = parse_address(settings.address, "gRPC")
        self._certificates = Certificates(settings) if settings.certificate_file else None
        self._tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._server: grpc.aio.Server | None = None
        self._service: ScoringService | None = None
        self._inference: inference.InferenceService | None = None

    def operate(self, control: Operations) -> None:
        self._control = control

    def start(self) -> None:
        """Raises SetupError where the address cannot be listened on."""
        if not self._shared:
            check_free(self._host, self.port, "gRPC")
        self._loop = asyncio.new_event_loop()
        logging.getLogger("grpc._cython.cygrpc").addFilter(_still_there)
        self._thread = threading.Thread(target=self._loop.run_forever, name="assay-grpc", daemon=True)
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self.stop()
            raise
        log.info("gRPC on %s:%d", self._host, self.port)
        warn_if_open("gRPC", self._host, self._settings)

    def not_serving(self) -> None:
        """Turns health NOT_SERVING for good; calls are still answered."""
        if self._inference is not None:
            self._inference.ready = False
        self._call(self._health.enter_graceful_shutdown())

    def drain(self, timeout: float) -> None:
        """Takes no new call, ends the streams, and returns when what was received is answered."""
        self._call(self._drain(timeout))

    def stop(self) -> None:
        """Breaks off what is left."""
        if self._loop is None or self._thread is None:
            return
        if self._server is not None:
            self._call(self._server.stop(None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        settings = self._settings
        server = grpc.aio.server(
            interceptors=[Guard(self._tokens)] if self._tokens else [],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", int(self._shared)),
                ("grpc.max_concurrent_streams", CONNECTION_CALLS),
                ("grpc.keepalive_time_ms", ALIVE),
                ("grpc.keepalive_timeout_ms", ANSWER),
                ("grpc.server_handshake_timeout_ms", ANSWER),
            ],
        )
        bridge = Bridge(self._core, asyncio.get_running_loop())
        self._service = ScoringService(self._core, bridge, settings.stream_window, settings.max_streams)
        self._inference = inference.InferenceService(
            self._core, bridge, self._service, settings.stream_window, self.counted
        )
        self._inference.control = self._control
        server.add_generic_rpc_handlers((self._service.handler(), self._inference.handler()))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, inference.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, Descriptors())  # type: ignore[arg-type]
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            address = f"{host}:{self.port}"
            if self._certificates:
                self.port = server.add_secure_port(address, self._certificates.credentials())
            else:
                self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise SetupError(f"gRPC cannot listen on {host}:{self.port}: {error}") from error
        for name in (SERVICE, inference.SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server

    async def _drain(self, timeout: float) -> None:
        """Where callers pause, gRPC's own end tells each client to go elsewhere before it sends another call.
        Where they do not, calls would meet a stopped server: they are refused until the rest is answered.
        """
        if self._server is None or self._service is None:
            return
        await self._health.enter_graceful_shutdown()
        if not await self._service.hold():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._service.drain(), timeout)
            await asyncio.sleep(LAST_WORDS)  # a client that is cut off loses what it has not read yet
            close_connections(self.port)
            await self._server.stop(None)
            return
        stopping = asyncio.create_task(self._server.stop(timeout))
        await asyncio.sleep(0)  # it takes no new call from here on
        answered = asyncio.create_task(self._service.drain())
        await asyncio.wait({stopping, answered}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({stopping}, timeout=LAST_WORDS)
        await self._server.stop(None)
        answered.cancel()


def _hold(settings: GrpcSettings, held: ExitStack) -> GrpcSettings:
    """The port is one for all, also where any would do, and nobody else's between two of them."""
    host, port = parse_address(settings.address, "gRPC")
    reserved = held.enter_context(reserve(host, port, "gRPC"))
    shown = f"[{host}]" if ":" in host else host
    return settings.model_copy(update={"address": f"{shown}:{reserved.getsockname()[1]}"})


def _part(settings: GrpcSettings, _number: int, count: int) -> GrpcSettings:
    """They have together as many streams as one would, which take memory."""
    return settings.model_copy(update={"max_streams": -(-settings.max_streams // count)})


KIND = DoorKind(
    GrpcSettings,
    GrpcDoor,
    "HOST:PORT",
    {"address": ("--grpc", "HOST:PORT to serve gRPC on.")},
    check=lambda settings: check_free(*parse_address(settings.address, "gRPC"), "gRPC"),
    spread=Spread(lambda core, settings: GrpcDoor(core, settings, shared=True), _part, _hold),
)
