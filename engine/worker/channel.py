"""Messages between the front and a worker: JSON, length first, over a stream socket. Nothing is pickled."""

import json
import select
import socket
import struct
from typing import Any

READ = 1 << 16
"""Bytes that are asked for at once: most messages are shorter, and each call gives the interpreter away."""

_LENGTH = struct.Struct("<I")


class Channel:
    """One end. `receive` raises `EOFError` when the other end is gone, `TimeoutError` when it is silent."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._read = bytearray()  # what came behind the last message
        self._poll = select.poll()  # select.select() takes no descriptor above 1023
        self._poll.register(end, select.POLLIN)

    def send(self, message: Any) -> None:
        body = json.dumps(message, separators=(",", ":"), check_circular=False).encode()
        try:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def ready(self, seconds: float) -> bool:
        """Wait so long at most -> whether `receive` has something to read, or the other end is gone."""
        return bool(self._read) or bool(self._poll.poll(seconds * 1000))

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; `timeout` bounds each wait for more bytes, in seconds."""
        if timeout != self._socket.gettimeout():
            self._socket.settimeout(timeout)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytearray:
        while len(self._read) < count:
            try:
                read = self._socket.recv(max(READ, count - len(self._read)))
            except ConnectionResetError:
                read = b""
            if not read:
                raise EOFError
            self._read += read
        found = self._read[:count]
        del self._read[:count]
        return found

    def close(self) -> None:
        self._socket.close()
