"""Bytes of a socket that does not block, plain or under TLS."""

import asyncio
import contextlib
import socket
import ssl

_CHUNK = 16 * 1024


class Wire:
    """A plain connection."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._loop = asyncio.get_running_loop()

    async def receive(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end. Raises OSError, of which ssl.SSLError is one."""
        return await self._loop.sock_recv(self._peer, most)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._peer, data)

    def close_writing(self) -> None:
        self._peer.shutdown(socket.SHUT_WR)


class TlsWire(Wire):
    """A connection under TLS; the handshake is made by the first bytes that are asked for."""

    def __init__(self, peer: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(peer)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    async def receive(self, most: int) -> bytes:
        while True:
            try:
                data = self._tls.read(most)
            except ssl.SSLWantReadError:
                data = None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError:
                await self._flush()  # the alert that says why
                raise
            await self._flush()
            if data is not None:
                return data
            received = await super().receive(_CHUNK)
            if not received:
                self._in.write_eof()
                return b""
            self._in.write(received)

    async def send(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
        await self._flush()

    def close_writing(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._peer.send(self._out.read())
        super().close_writing()

    async def _flush(self) -> None:
        if self._out.pending:
            await super().send(self._out.read())
