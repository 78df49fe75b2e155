"""Messages between the front and a worker: JSON, length first, over a stream socket. Nothing is pickled."""

import json
import select
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<I")


class Channel:
    """One end. `receive` raises `EOFError` when the other end is gone, `TimeoutError` when it is silent."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: Any) -> None:
        body = json.dumps(message, separators=(",", ":"), check_circular=False).encode()
        try:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def ready(self, seconds: float) -> bool:
        """Wait so long at most -> whether `receive` has something to read, or the other end is gone."""
        poll = select.poll()  # select.select() takes no descriptor above 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; `timeout` bounds each wait for more bytes, in seconds."""
        self._socket.settimeout(timeout)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytearray:
        buffer = bytearray(count)
        view, got = memoryview(buffer), 0
        while got < count:
            try:
                read = self._socket.recv_into(view[got:])
            except ConnectionResetError:
                read = 0
            if not read:
                raise EOFError
            got += read
        return buffer

    def close(self) -> None:
        self._socket.close()
