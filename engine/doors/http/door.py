"""The HTTP door: what orchestrators and Prometheus ask. `/livez`, `/readyz`, `/metrics`."""

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable

from pydantic_settings import SettingsConfigDict

from assay.engine.doors.address import address_family, cannot_listen, check_free, parse_address
from assay.engine.doors.door import Door, DoorKind
from assay.engine.doors.http.connection import Connection
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


class HttpDoor(Door):
    """Answers while the process lives; `ready` says whether images are welcome. `port` is the one in use.

    Where `MOST` connections are open, the one that was answered longest ago makes room for the next: those
    that are opened and left, or fed a byte at a time, cost nobody else an answer.
    """

    def __init__(self, settings: HttpSettings, ready: Callable[[], bool]) -> None:
        self._host, self.port = parse_address(settings.address, "HTTP")
        self._settings = settings
        self._certificates = Certificates(settings) if settings.certificate_file else None
        self._tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
        self._ready = ready
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

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
        warn_if_open("HTTP", self._host, self._settings)

    def not_serving(self) -> None:
        """`/readyz` says no from now on; there is nothing to drain, as probes are answered until the end."""
        self._ending = True

    def stop(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = None

    def _serve(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        """Runs in the door's thread until the loop is stopped."""
        with listener:
            listener.setblocking(False)
            intake = Intake(
                listener, lambda: self._ready() and not self._ending, self._certificates, self._tokens
            )
            accepting = loop.create_task(intake.accept())
            loop.run_forever()
            accepting.cancel()
            loop.run_until_complete(asyncio.gather(accepting, *intake.close(), return_exceptions=True))
        loop.close()


class Intake:
    """Accepts connections of `listener` and keeps them few. Belongs to one event loop."""

    def __init__(
        self,
        listener: socket.socket,
        ready: Callable[[], bool],
        certificates: Certificates | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._certificates = certificates
        self._tokens = tokens
        self._listener = listener
        self._ready = ready
        self._open: dict[asyncio.Task[None], float] = {}  # when each was last answered, in that order
        self._complained = float("-inf")

    async def accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._make_room(MOST, GRACE)
            try:
                peer, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # of the peer, which is gone already, or of this process
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._complain(error)
                    await self._make_room(len(self._open), 0.0)
                    await asyncio.sleep(RETRY)
                continue
            peer.setblocking(False)
            context = self._certificates.context() if self._certificates else None
            connection = Connection(peer, self._ready, self._answered, context, self._tokens)
            task = loop.create_task(connection.run())
            self._open[task] = loop.time()
            task.add_done_callback(lambda task: self._open.pop(task, None))
            await asyncio.sleep(0)  # or a burst would be accepted before anything is answered

    def close(self) -> list[asyncio.Task[None]]:
        """Ends all connections; returns what is to be waited for."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        return tasks

    async def _make_room(self, most: int, grace: float) -> None:
        """Returns when fewer than `most` are open, by ending those that were answered `grace` seconds ago."""
        while self._open and len(self._open) >= most:
            oldest, since = next(iter(self._open.items()))
            wait = since + grace - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.wait(self._open, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            else:
                del self._open[oldest]
                oldest.cancel()

    def _answered(self) -> None:
        """The connection of the running task was answered, so it is the last to make room."""
        task = asyncio.current_task()
        if task is not None and self._open.pop(task, None) is not None:
            self._open[task] = asyncio.get_running_loop().time()

    def _complain(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained > SILENCE:
            self._complained = now
            log.warning("HTTP cannot accept connections for now: %s; raise `ulimit -n`", error.strerror)


KIND = DoorKind(
    HttpSettings,
    lambda core, settings: HttpDoor(settings, lambda: core.serving),
    "HOST:PORT",
    {"address": ("--http", "HOST:PORT for metrics and probes.")},
    scores=False,
    check=lambda settings: check_free(*parse_address(settings.address, "HTTP"), "HTTP"),
)
