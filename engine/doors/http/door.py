"""The HTTP door: what orchestrators and Prometheus ask (`/livez`, `/readyz`, `/metrics`); images by POST."""

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from assay.engine.core import Core
from assay.engine.doors.address import (
    address_family,
    cannot_listen,
    check_free,
    is_loopback,
    parse_address,
)
from assay.engine.doors.backend import Operations
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.door import Door, DoorKind
from assay.engine.doors.http.api import Api
from assay.engine.doors.http.connection import Connection
from assay.engine.doors.http.dashboard import Dashboard
from assay.engine.doors.http.dashboard.recent import Recent
from assay.engine.doors.http.places import Places
from assay.engine.security import Certificates, Secured, Tokens, warn_if_open

# Connections that are open at a time, and that the system lets wait for a place.
MOST = 256
BACKLOG = 1024
# Seconds after its last answer until a connection may have to make room for others that wait.
GRACE = 0.25
# Seconds until accepting is tried again where the process has no file descriptor left.
RETRY = 0.01
# Seconds between two complaints about that.
SILENCE = 60.0

log = logging.getLogger(__name__)


class HttpSettings(Secured):
    """Settings of the HTTP door; as variables: `ASSAY_HTTP_ADDRESS`."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_HTTP_", extra="forbid", frozen=True)

    address: str
    """`HOST:PORT` to listen on."""
    dashboard: bool | None = None
    """Whether the page at `/dashboard/` is served, with what it needs: `/v1/telemetry`, and evidence drawn by
    `/v1/score?explain=true`, of one image at a time. By default where `address` is one of loopback."""
    recent: int = Field(0, ge=0, le=100)
    """How many of the latest verdicts, whoever asked for them, the dashboard shows with their images, to
    everyone who may open it."""


class HttpDoor(Door):
    """Answers while the process lives; `ready` says whether images are welcome. `port` is the one in use.
    Without a core no images are taken.

    Where `MOST` connections are open, the one that was answered longest ago makes room for the next: those
    that are opened and left, or fed a byte at a time, cost nobody else an answer.
    """

    def __init__(self, settings: HttpSettings, ready: Callable[[], bool], core: Core | None = None) -> None:
        self._host, self.port = parse_address(settings.address, "HTTP")
        self._settings = settings
        self._certificates = Certificates(settings) if settings.certificate_file else None
        self._tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
        self._ready = ready
        self._core = core
        self._control: Operations | None = None
        self._places = Places()
        wanted = settings.dashboard if settings.dashboard is not None else is_loopback(self._host)
        guarded = bool(settings.tokens_file or settings.client_ca_file)
        self._dashboard = None
        if wanted and core:
            recent = Recent(settings.recent) if settings.recent else None
            if recent:
                core.on_verdict.append(recent.see)
            self._dashboard = Dashboard(lambda: core.bundles, is_loopback(self._host), guarded, recent)
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def operate(self, control: Operations) -> None:
        self._control = control

    def ready_when(self, serving: Callable[[], bool]) -> None:
        ready = self._ready
        self._ready = lambda: ready() and serving()

    def start(self) -> None:
        """Raises SetupError where the address cannot be listened on."""
        family = address_family(self._host)
        dual = family is socket.AF_INET6 and socket.has_dualstack_ipv6()
        try:
            listener = socket.create_server(
                (self._host, self.port), family=family, backlog=BACKLOG, dualstack_ipv6=dual
            )
        except OSError as error:
            raise cannot_listen(self._host, self.port, "HTTP", error) from error
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, args=(self._loop, listener), name="assay-http", daemon=True
        )
        self._thread.start()
        log.info("HTTP on %s:%d", self._host, self.port)
        if self._dashboard:
            log.info("the dashboard is at /dashboard/")
        warn_if_open("HTTP", self._host, self._settings)

    def not_serving(self) -> None:
        """`/readyz` says no from now on; probes are answered until the end."""
        self._ending = True

    def drain(self, timeout: float) -> None:
        """Takes no further images; probes and metrics are wanted until the end."""
        if self._loop is not None:
            drained = asyncio.run_coroutine_threadsafe(self._places.drain(), self._loop)
            with contextlib.suppress(TimeoutError):
                drained.result(timeout)
            drained.cancel()

    def stop(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = None

    def _welcome(self) -> bool:
        return self._ready() and not self._ending

    def _serve(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        """Runs in the door's thread until the loop is stopped."""
        with listener:
            listener.setblocking(False)
            api = None
            if self._core:
                bridge = Bridge(self._core, loop)
                api = Api(self._core, bridge, self._welcome, self._dashboard, self._control)
            intake = Intake(listener, self._welcome, self._places, api, self._certificates, self._tokens)
            own = [loop.create_task(intake.accept())]
            if self._dashboard:
                own.append(loop.create_task(self._dashboard.history.run()))
            loop.run_forever()
            for task in own:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*own, *self._places.close(), return_exceptions=True))
        loop.close()


class Intake:
    """Accepts connections of `listener` and keeps them few. Belongs to one event loop."""

    def __init__(
        self,
        listener: socket.socket,
        ready: Callable[[], bool],
        places: Places,
        api: Api | None,
        certificates: Certificates | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._certificates = certificates
        self._tokens = tokens
        self._listener = listener
        self._ready = ready
        self._places = places
        self._api = api
        self._complained = float("-inf")

    async def accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.make_room(MOST, GRACE)
            try:
                peer, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # of the peer, which is gone already, or of this process
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._complain(error)
                    await self._places.make_room(len(self._places), 0.0)
                    await asyncio.sleep(RETRY)
                continue
            peer.setblocking(False)
            context = self._certificates.context() if self._certificates else None
            connection = Connection(peer, self._ready, self._places, self._api, context, self._tokens)
            self._places.add(loop.create_task(connection.run()))
            await asyncio.sleep(0)  # or a burst would be accepted before anything is answered

    def _complain(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained > SILENCE:
            self._complained = now
            log.warning("HTTP cannot accept connections for now: %s; raise `ulimit -n`", error.strerror)


KIND = DoorKind(
    HttpSettings,
    lambda core, settings: HttpDoor(settings, lambda: core.serving, core),
    "HOST:PORT",
    {
        "address": ("--http", "HOST:PORT for metrics and probes, and images by POST."),
        "dashboard": ("--dashboard", "on or off: the page at /dashboard/; by default on loopback alone."),
    },
    scores=False,
    check=lambda settings: check_free(*parse_address(settings.address, "HTTP"), "HTTP"),
)
