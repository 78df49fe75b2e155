"""The HTTP client reads what servers send, in pieces of any size, and says what was wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from assay.bench.peers.client import HttpClient, PeerFault

T = TypeVar("T")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0.25"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n0.\r\n2\r\n25\r\n0\r\n\r\n"
BROKEN = b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater"


def talk(answers: list[bytes], ask: Callable[[HttpClient], Awaitable[T]], piece: int = 1 << 20) -> T:
    """What `ask` returns of a server that gives `answers` in turn, over one connection, then closes it."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for answer in answers:
            assert await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5) == b"image"
            for start in range(0, len(answer), piece):
                writer.write(answer[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def run() -> T:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, HttpClient(server.sockets[0].getsockname()[1], "/x") as client:
            return await ask(client)

    found = asyncio.run(run())
    assert connections == 1
    return found


async def once(client: HttpClient) -> float:
    return client.probability(await client.send(client.request(b"image")))


async def thrice(client: HttpClient) -> list[float]:
    return [await once(client) for _ in range(3)]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_answers_in_pieces(piece: int) -> None:
    assert talk([PLAIN, CHUNKED, PLAIN], thrice, piece) == [0.25] * 3


def test_a_refusal_is_quoted() -> None:
    with pytest.raises(PeerFault, match="503 busy: later"):
        talk([BROKEN], once)


def test_an_answer_without_a_number_is_quoted() -> None:
    with pytest.raises(PeerFault, match="b'yes', which is no probability"):
        talk([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"], once)


@pytest.mark.parametrize("cut", [0, 10, len(PLAIN) - 1])
def test_an_answer_that_breaks_off(cut: int) -> None:
    with pytest.raises((EOFError, OSError)):
        talk([PLAIN[:cut]], once)
