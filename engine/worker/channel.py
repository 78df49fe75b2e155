"""Messages between the front and a worker: JSON, length first, over a stream socket. Nothing is pickled."""

import json
import socket
import struct
from contextlib import suppress
from typing import Any

READ = 1 << 16
"""Bytes that are asked for at once; most messages are shorter."""

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_LENGTH = struct.Struct("<I")
_TIMEVAL = struct.Struct("@ll")


class Channel:
    """One end. `receive` raises `EOFError` when the other end is gone, `TimeoutError` when it is silent."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._read = bytearray()  # what came behind the last message
        self._ended = False
        self._patience: float | None = None  # seconds that the kernel waits for us

    def send(self, message: Any) -> None:
        body = _encode(message).encode()
        try:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def ready(self, seconds: float) -> bool:
        """Wait so long at most -> whether `receive` has something to read, or the other end is gone."""
        return bool(self._read) or self._ended or self._fill(READ, seconds)

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; `timeout` bounds each wait for more bytes, in seconds."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, timeout))
        return json.loads(self._exactly(length, timeout))

    def _exactly(self, count: int, timeout: float | None) -> bytearray:
        while (missing := count - len(self._read)) > 0:
            if self._ended:
                raise EOFError
            if not self._fill(max(READ, missing), timeout):
                raise TimeoutError
        found = self._read[:count]
        del self._read[:count]
        return found

    def _fill(self, most: int, seconds: float | None) -> bool:
        """Read what is there, or comes within `seconds` (None: ever) -> whether anything was there.

        It is one system call, which matters to a front with busy threads: around each call of a socket with a
        time-out of Python's own, a thread gives the interpreter away twice.
        """
        if seconds != self._patience:
            whole, part = divmod(max(1, round(1e6 * (seconds or 0))), 1_000_000)
            until = _TIMEVAL.pack(0, 0) if seconds is None else _TIMEVAL.pack(whole, part)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, until)
            self._patience = seconds
        try:
            read = self._socket.recv(most)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            read = b""
        self._ended = not read
        self._read += read
        return True

    def shut(self) -> None:
        """Have both ends find that the other one is gone; from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
