"""Loads keep what they say outstanding, and end when a server does not answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from assay.bench.peers import load
from assay.bench.peers.client import Client, PeerFault
from assay.bench.peers.load import closed, opened

REQUESTS = [b"a", b"b", b"c"]


class Counting(Client):
    def __init__(self, answer: Callable[[int], Awaitable[None]] = lambda _: asyncio.sleep(0.001)) -> None:
        self.inside = self.most = self.sent = 0
        self._answer = answer

    def request(self, image: bytes) -> bytes:
        return image

    async def send(self, request: bytes) -> bytes:
        self.sent += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self._answer(self.sent)
        finally:
            self.inside -= 1
        return request

    def probability(self, answer: bytes) -> float:
        return 0.5

    async def close(self) -> None: ...


def test_a_closed_loop() -> None:
    client = Counting()
    moments = iter([1, 2])
    found = asyncio.run(closed(client, REQUESTS, 7, 0.02, 0.05, lambda: next(moments)))
    assert client.most == 7
    assert client.inside == 0
    assert (found.before, found.after) == (1, 2)
    assert 0 < len(found.answers) < client.sent  # those of the warm-up do not count
    assert all(answer.body == REQUESTS[answer.number] for answer in found.answers)
    assert found.seconds >= 0.05


def test_an_open_loop_does_not_wait_for_answers() -> None:
    client = Counting(lambda _: asyncio.sleep(0.2))
    found = asyncio.run(opened(client, REQUESTS, 1000, 0.05, seed=3))
    assert len(found) == client.sent == client.most
    assert 20 < client.sent < 90  # Poisson, 50 on average
    assert min(answer.seconds for answer in found) >= 0.19
    again = Counting()
    asyncio.run(opened(again, REQUESTS, 1000, 0.05, seed=3))
    assert again.sent == client.sent


def test_a_late_answer_counts_from_when_it_was_due() -> None:
    async def blocking(number: int) -> None:
        if number == 1:
            time.sleep(0.3)  # the loop itself is late: what was due meanwhile has waited

    found = asyncio.run(opened(Counting(blocking), REQUESTS, 200, 0.2, seed=1))
    assert sum(answer.seconds > 0.1 for answer in found) > len(found) / 4


async def never(_: int) -> None:
    await asyncio.sleep(600)


async def fails(number: int) -> None:
    if number == 5:
        raise OSError("gone")
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", ["closed", "open"])
def test_faults(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(client: Counting, seconds: float) -> None:
        if way == "closed":
            asyncio.run(closed(client, REQUESTS, 3, 0.0, seconds, lambda: None))
        else:
            asyncio.run(opened(client, REQUESTS, 400, seconds, seed=0))

    client = Counting(fails)
    with pytest.raises(OSError, match=r"^gone$"):
        run(client, 60)
    assert client.inside == 0
    monkeypatch.setattr(load, "PATIENCE", 0.1)
    client = Counting(never)
    with pytest.raises(PeerFault, match="had not answered everything"):
        run(client, 0.05)
    assert client.inside == 0


def test_there_is_at_least_one_answer() -> None:
    found = asyncio.run(closed(Counting(lambda _: asyncio.sleep(0.3)), REQUESTS, 2, 0.0, 0.01, lambda: None))
    assert found.answers
    assert found.seconds >= 0.29
