"""Load on a server: a closed loop of so many requests outstanding, and an open one at a rate."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from assay.bench.peers.client import Client, PeerFault

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds after the end of a load in which every answer must have come."""


@dataclass(frozen=True)
class Answer:
    """To which of the requests, what, and after how many seconds."""

    number: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Load(Generic[T]):
    """Answers that came within `seconds`, and what was read at the beginning and the end of them."""

    answers: list[Answer]
    seconds: float
    before: T
    after: T


async def closed(
    client: Client,
    requests: Sequence[bytes],
    outstanding: int,
    warm_up: float,
    seconds: float,
    read: Callable[[], T],
) -> Load[T]:
    """`outstanding` requests at any time; counted are those answered in the `seconds` after `warm_up`,
    or in as many as the first answer takes.

    Raises PeerFault where answers do not come, and what `send` raises.
    """
    answers: list[Answer] = []
    numbers = count()
    over = watching = False

    async def ask() -> None:
        while not over:
            number = next(numbers) % len(requests)
            sent = time.perf_counter()
            body = await client.send(requests[number])
            if watching:
                answers.append(Answer(number, body, time.perf_counter() - sent))

    async with _tasks(warm_up + seconds) as group:
        for _ in range(outstanding):
            group.create_task(ask())
        await asyncio.sleep(warm_up)
        before, start = read(), time.perf_counter()
        watching = True
        await asyncio.sleep(seconds)
        while not answers:
            await asyncio.sleep(seconds / 10)
        watching, over = False, True
        return Load(answers, time.perf_counter() - start, before, read())


async def opened(
    client: Client, requests: Sequence[bytes], rate: float, seconds: float, seed: int
) -> list[Answer]:
    """Poisson arrivals, `rate` a second. An answer's seconds run from when its request was due.

    Raises as `closed` does.
    """
    arrivals = random.Random(seed)
    answers: list[Answer] = []
    start = time.perf_counter()

    async def ask(number: int, due: float) -> None:
        body = await client.send(requests[number])
        answers.append(Answer(number, body, time.perf_counter() - due))

    async with _tasks(seconds) as group:
        due = start + arrivals.expovariate(rate)
        for number in count():
            if due > start + seconds:
                break
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(ask(number % len(requests), due))
            due += arrivals.expovariate(rate)
    return answers


@asynccontextmanager
async def _tasks(seconds: float) -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that must be done `PATIENCE` after `seconds`; the first one's fault is raised as it is."""
    try:
        async with asyncio.timeout(seconds + PATIENCE), asyncio.TaskGroup() as group:
            yield group
    except TimeoutError:
        raise PeerFault(f"had not answered everything after {seconds + PATIENCE:.0f} s") from None
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None
