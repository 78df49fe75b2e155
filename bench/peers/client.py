"""Clients that send an image and get a probability: HTTP/1.1 and gRPC, with little of their own to do.

They run on the cores that they measure. Requests are made beforehand and answers read afterwards, so that
what is timed is the bytes' way there and back.
"""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import grpc


class PeerFault(Exception):
    """A server did not do what it is there for; the message is for the table's reader."""


class Client(ABC):
    """One server's, to be used in one event loop: `async with`."""

    @abstractmethod
    def request(self, image: bytes) -> bytes:
        """What `send` takes for an encoded image."""

    @abstractmethod
    async def send(self, request: bytes) -> bytes:
        """The answer. Raises PeerFault, OSError or EOFError where there is none."""

    @abstractmethod
    def probability(self, answer: bytes) -> float:
        """What an answer says. Raises PeerFault for one without a probability."""

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def close(self) -> None: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class HttpClient(Client):
    """Posts the bytes of an image to `path`; the answer is a number in text. Connections are kept."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/octet-stream\r\n"
        )
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def request(self, image: bytes) -> bytes:
        return f"{self._head}Content-Length: {len(image)}\r\n\r\n".encode() + image

    async def send(self, request: bytes) -> bytes:
        reader, writer = (
            self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        )
        try:
            writer.write(request)
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            fields = dict(line.split(b":", 1) for line in lines if b":" in line)
            if b"content-length" in fields:
                body = await reader.readexactly(int(fields[b"content-length"]))
            else:
                body = await _chunks(reader)
            if status.split()[1] != b"200":
                raise PeerFault(f"answered {status.decode()}: {body[:200].decode(errors='replace')}")
        except BaseException:
            writer.close()
            raise
        self._free.append((reader, writer))
        return body

    def probability(self, answer: bytes) -> float:
        try:
            return float(answer)
        except ValueError:
            raise PeerFault(f"answered {answer[:200]!r}, which is no probability") from None

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A body of which each part comes after its length."""
    parts: list[bytes] = []
    while True:
        part = await reader.readexactly(int(await reader.readuntil(b"\r\n"), 16) + 2)
        if len(part) == 2:
            return b"".join(parts)
        parts.append(part[:-2])


class GrpcClient(Client):
    """Calls `method` with messages that are bytes already. What is in them is the subclass' part."""

    method: str

    def __init__(self, port: int) -> None:
        # of its own: a pool of the process would hold back after a server that was not there yet
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
        self._call = self._channel.unary_unary(self.method, None, None)

    async def send(self, request: bytes) -> bytes:
        try:
            answer: bytes = await self._call(request)
        except grpc.aio.AioRpcError as error:
            raise PeerFault(f"answered {error.code().name}: {error.details()}") from None
        return answer

    async def close(self) -> None:
        await self._channel.close(None)
