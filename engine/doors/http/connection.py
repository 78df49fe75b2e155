"""One connection of the HTTP door, over a socket that does not block.

It is answered or closed within `PATIENCE`, whatever the peer does, and of a request no more than `LONGEST`
bytes are kept. Where images are posted the body has its own time and room (`bodies.py`), and the images wait
in the core. Requests may be pipelined; each waits for its turn of the loop.
"""

import asyncio
import contextlib
import logging
import math
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from assay.engine.doors.http.answer import Answer
from assay.engine.doors.http.api import Api, Post
from assay.engine.doors.http.bodies import NoRoom
from assay.engine.doors.http.places import Places
from assay.engine.security.tokens import Denied, Throttled, Tokens
from assay.engine.security.wire import TlsWire, Wire

# Bytes of a request line and its headers.
LONGEST = 16 * 1024
OPEN = ("/livez", "/readyz")
"""What probes ask, without a token."""
# Seconds that a connection may take for its next request, and again for taking the answer.
PATIENCE = 30.0
# Seconds in which a peer that is sent away may go on sending, so that it gets to read why.
LINGER = 1.0
# Bytes of a body a second, below which its time is up; `PATIENCE` comes on top.
SLOWEST = 64 * 1024

_BODY_CHUNK = 256 * 1024
_CHUNK = 16 * 1024
_END = re.compile(rb"\n\r?\n")

NO_HEADERS: Mapping[str, str] = {}

log = logging.getLogger(__name__)


class Connection:
    """`ready` is what `/readyz` reports; without `api` no images are taken."""

    def __init__(
        self,
        peer: socket.socket,
        ready: Callable[[], bool],
        places: Places,
        api: Api | None,
        context: ssl.SSLContext | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._peer = peer
        self._wire = TlsWire(peer, context) if context else Wire(peer)
        self._tokens = tokens
        self._ready = ready
        self._places = places
        self._api = api
        self._receiving = False
        self._unread = bytearray()

    async def run(self) -> None:
        """Returns when the connection is closed; a cancelled one says so to a peer that was asking."""
        with self._peer:
            try:
                while await self._exchange():
                    self._places.answered()
                    await asyncio.sleep(0)
                await self._linger()
            except asyncio.CancelledError:
                if (self._unread or self._receiving) and type(self._wire) is Wire:
                    why = "the body came too slowly" if self._receiving else "too many connections"
                    with contextlib.suppress(OSError):
                        self._peer.send(_error(HTTPStatus.SERVICE_UNAVAILABLE, why))
            except OSError:  # the peer is gone, or takes nothing
                pass
            except Exception:
                log.exception("HTTP: a request failed")

    async def _exchange(self) -> bool:
        """Answers one request -> whether another may follow."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._head()
        except TimeoutError:
            late = _error(HTTPStatus.REQUEST_TIMEOUT, "the request took too long")
            await self._send(late if self._unread else b"")
            return False
        if head is None:
            if len(self._unread) > LONGEST:
                line = b"\n" in self._unread
                status = (
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if line else HTTPStatus.REQUEST_URI_TOO_LONG
                )
                await self._send(_error(status, f"a request may have {LONGEST} bytes"))
            return False
        request = Request(head, self._ready, self._api, self._tokens)
        if request.post is not None and self._api is not None:
            answer = await self._post(self._api, request.post, request.expects_100)
            if answer is None:
                return False
            request.give(answer)
        await self._send(request.answer)
        return not request.close_connection

    async def _post(self, api: Api, post: Post, expected: bool) -> Answer | None:
        """Receives a body and has its images scored; None where the peer left or took too long."""
        if self._places.draining:
            return api.refuse(post, "the server is draining", last=True)
        try:
            with self._places.bodies.receive(post.length):
                if expected:
                    await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await self._body(post.length)
                if body is None:
                    return None
                work = await api.read(post, body)
                del body  # what is needed of it is held by the work alone
            if isinstance(work, Answer):
                return work
            with self._places.scoring():
                return await api.score(work)
        except NoRoom as full:
            return api.refuse(post, str(full), last=True)

    async def _body(self, length: int) -> bytes | None:
        self._receiving = True
        received = self._unread[:length]
        del self._unread[:length]
        try:
            async with asyncio.timeout(PATIENCE + length / SLOWEST):
                while len(received) < length:
                    most = min(_BODY_CHUNK, length - len(received))
                    if not (data := await self._wire.receive(most)):
                        return None
                    received += data
                    await asyncio.sleep(0)  # what has come already is given without waiting
        except TimeoutError:
            await self._send(_error(HTTPStatus.REQUEST_TIMEOUT, "the body took too long"))
            return None
        self._receiving = False
        self._places.bodies.arrived()
        return bytes(received)

    async def _head(self) -> bytes | None:
        """A request up to its empty line; None where there is no further one, or it is too long."""
        looked = 0
        while not (end := _END.search(self._unread, looked)):
            looked = max(0, len(self._unread) - 2)
            if len(self._unread) > LONGEST or not (data := await self._wire.receive(_CHUNK)):
                return None
            self._unread += data
        head = bytes(self._unread[: end.end()])
        del self._unread[: end.end()]
        return head

    async def _send(self, answer: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._wire.send(answer)

    async def _linger(self) -> None:
        """Closing over unread bytes would reset the connection, and what was answered could be lost."""
        self._wire.close_writing()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while await self._wire.receive(_CHUNK):
                    await asyncio.sleep(0)


class Request(BaseHTTPRequestHandler):
    """A request whose head is there, with its `answer`, or `post` where a body is needed for one.

    `close_connection` says whether it was the last.
    """

    protocol_version = "HTTP/1.1"
    expects_100 = False

    def __init__(
        self,
        head: bytes,
        ready: Callable[[], bool],
        api: Api | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._tokens = tokens
        self._ready = ready
        self._api = api
        self.post: Post | None = None
        self.rfile = BytesIO(head)
        self.wfile = BytesIO()
        self.close_connection = True
        self.handle_one_request()
        self.answer = self.wfile.getvalue()

    def parse_request(self) -> bool:
        """Before any method: whoever has no token gets no further than the probes."""
        if not super().parse_request():
            return False
        path = self.path.partition("?")[0]
        page = self._api is not None and self._api.is_open(path) and self.command != "POST"
        if self._tokens is None or page or path in OPEN:
            return True
        try:
            self._tokens.spend(self._tokens.find(self.headers.get("Authorization")))
        except Denied:
            self._text(
                HTTPStatus.UNAUTHORIZED,
                "a bearer token that is known is needed\n",
                {"WWW-Authenticate": "Bearer"},
            )
        except Throttled as throttled:
            wait = str(math.ceil(throttled.seconds))
            self._text(HTTPStatus.TOO_MANY_REQUESTS, f"{throttled}\n", {"Retry-After": wait})
        else:
            return True
        return False

    def do_GET(self) -> None:
        page, _, query = self.path.partition("?")
        match page:
            case "/livez":
                self._text(HTTPStatus.OK, "alive\n")
            case "/readyz":
                if self._ready():
                    self._text(HTTPStatus.OK, "ready\n")
                else:
                    self._text(HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n")
            case "/metrics":
                try:
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                except (TypeError, ValueError):  # it trips over versions that are none
                    encode, content_type = choose_encoder("")
                self._reply(HTTPStatus.OK, content_type, encode(REGISTRY))
            case path:
                if answer := self._api.get(path, query, self.headers) if self._api else None:
                    self.give(answer)
                else:
                    also = ", /v1/score and /v2" if self._api else ""
                    self._text(HTTPStatus.NOT_FOUND, f"there are /livez, /readyz and /metrics{also}\n")

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        found = self._api.post(path, query, self.headers) if self._api else None
        if isinstance(found, Post):
            self.post = found
        elif found is not None:
            self.give(found)
        else:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "nothing is posted here")

    def give(self, answer: Answer) -> None:
        """Makes `answer` the one of this request; a body that was announced is taken to be read."""
        if answer.last:
            self.close_connection = True
        self.wfile = BytesIO()
        self._reply(answer.status, answer.content_type, answer.body, answer.headers)
        self.answer = self.wfile.getvalue()

    def do_HEAD(self) -> None:
        self.do_GET()

    def handle_expect_100(self) -> bool:
        self.expects_100 = True  # it is asked for where it is to be read
        return True

    def _text(self, status: HTTPStatus, text: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._reply(status, "text/plain; charset=utf-8", text.encode(), headers)

    def _reply(
        self, status: HTTPStatus, content_type: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        unread = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        if self.close_connection or (unread and self.post is None):
            self.send_header("Connection", "close")  # what follows is a body, and no request
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def _error(status: HTTPStatus, text: str) -> bytes:
    body = f"{text}\n"
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()
