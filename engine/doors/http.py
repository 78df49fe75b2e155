"""The HTTP door: what orchestrators and Prometheus ask. `/livez`, `/readyz`, `/metrics`."""

import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from pydantic_settings import BaseSettings, SettingsConfigDict

from assay.engine.doors.address import address_family, cannot_listen, parse_address

# Seconds until `stop` is noticed, at most.
POLL = 0.1

log = logging.getLogger(__name__)


class HttpSettings(BaseSettings):
    """Settings of the HTTP door; as variables: `ASSAY_HTTP_ADDRESS`."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_HTTP_", extra="forbid", frozen=True)

    address: str
    """`HOST:PORT` to listen on."""


class HttpDoor:
    """Answers while the process lives; `ready` says whether images are welcome. `port` is the one in use."""

    def __init__(self, settings: HttpSettings, ready: Callable[[], bool]) -> None:
        self._host, self.port = parse_address(settings.address, "HTTP")
        self._ready = ready
        self._server: _Server | None = None

    def start(self) -> None:
        """Raises SetupError where the address cannot be listened on."""
        try:
            self._server = _Server(self._host, self.port, self._ready)
        except OSError as error:
            raise cannot_listen(self._host, self.port, "HTTP", error) from error
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, args=(POLL,), name="assay-http", daemon=True
        ).start()
        log.info("HTTP on %s:%d", self._host, self.port)

    def drain(self, timeout: float) -> None:
        """Nothing to do: answers are immediate, and probes and metrics are wanted until the end."""

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, ready: Callable[[], bool]) -> None:
        self.address_family = address_family(host)
        self.ready = ready
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Past HTTPServer's own, which asks the resolver for the name of this host and may wait for seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds a connection may stay silent

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/livez":
                self._text(HTTPStatus.OK, "alive\n")
            case "/readyz":
                if self.server.ready():
                    self._text(HTTPStatus.OK, "ready\n")
                else:
                    self._text(HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n")
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._send(HTTPStatus.OK, content_type, encode(REGISTRY))
            case _:
                self._text(HTTPStatus.NOT_FOUND, "there are /livez, /readyz and /metrics\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
