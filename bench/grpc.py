"""gRPC against the engine alone, with the client on the same cores.

    python -m assay.bench.grpc [--bundle B] [--images 2000] [--pairs 5]

Alone, items go to `core.submit` from memory; over gRPC the same images go to `assay serve` from a client in
this process, call by call, in a stream with one image or eight a message, and through `Client.score_many`.
Each keeps 64 images outstanding. Times run over the images after a warm-up; every pair starts fresh
processes, in alternating order. CPU is of the front (the engine's own process or the server, without its
workers) and of the client. Ratios are medians of each pair's own.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import grpc
import typer

from assay.bench.decode import made
from assay.bench.provenance import provenance, served_as
from assay.bench.scan import DISTINCT, cpu_seconds
from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.client import Client
from assay.engine.core import Core
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Verdict
from assay.engine.report.markdown import table
from assay.engine.settings import Settings
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc

OUTSTANDING = 64
WARM_UP = 128


@dataclass(frozen=True)
class Run:
    """Images a second, and CPU seconds an image of the front and of the client."""

    rate: float
    front: float
    client: float


def alone(bundle: Bundle, images: list[bytes]) -> Run:
    """The engine in this process, items from memory."""
    core = Core([bundle], Settings())

    def score(images: list[bytes]) -> None:
        waiting = iter(images)
        done: SimpleQueue[Future[Outcome]] = SimpleQueue()

        def submit(count: int) -> None:
            for future in core.submit([_item(data) for data in islice(waiting, count)], wait=True):
                future.add_done_callback(done.put)

        submit(OUTSTANDING)
        answered = 0
        while answered < len(images):
            outcomes = [done.get().result(), *(done.get().result() for _ in range(done.qsize()))]
            _check(outcomes)
            answered += len(outcomes)
            submit(len(outcomes))

    score(images[:WARM_UP])
    used = cpu_seconds(os.getpid())
    start = time.perf_counter()
    score(images)
    seconds = time.perf_counter() - start
    used = cpu_seconds(os.getpid()) - used
    core.stop()
    return Run(len(images) / seconds, used / len(images), 0.0)


def served(bundle: Bundle, images: list[bytes], score: Callable[[str, list[bytes]], None]) -> Run:
    """`score` against a server of this run."""
    with server(bundle, ASSAY_QUEUE_SECONDS="60") as (address, pid):
        score(address, images[:WARM_UP])
        return measured(address, pid, images, score)


def measured(address: str, pid: int, images: list[bytes], score: Callable[[str, list[bytes]], None]) -> Run:
    """`score` against the server at `address`, which is the process `pid`."""
    before = cpu_seconds(pid), cpu_seconds(os.getpid())
    start = time.perf_counter()
    score(address, images)
    seconds = time.perf_counter() - start
    front, client = cpu_seconds(pid) - before[0], cpu_seconds(os.getpid()) - before[1]
    return Run(len(images) / seconds, front / len(images), client / len(images))


def unary(address: str, images: list[bytes]) -> None:
    async def run(stub: scoring_pb2_grpc.ScoringServiceStub) -> None:
        waiting = iter(images)

        async def ask() -> None:
            for data in waiting:
                answer = await stub.Score(pb.ScoreRequest(image=pb.Image(data=data)))
                assert answer.outcome.HasField("verdict")

        await asyncio.gather(*(ask() for _ in range(OUTSTANDING)))

    _with_stub(address, run)


def called(per_message: int) -> Callable[[str, list[bytes]], None]:
    """Unary calls with several images each, to a server that takes and gives any bytes."""

    def score(address: str, images: list[bytes]) -> None:
        async def run() -> None:
            async with grpc.aio.insecure_channel(address) as channel:
                call = channel.unary_unary("/assay.v1.ScoringService/Score", None, None)
                waiting = iter(range(0, len(images), per_message))

                async def ask() -> None:
                    for at in waiting:
                        share = [pb.Image(data=data) for data in images[at : at + per_message]]
                        await call(pb.ScoreStreamRequest(images=share).SerializeToString())

                await asyncio.gather(*(ask() for _ in range(OUTSTANDING // per_message)))

        asyncio.run(run())

    return score


def streamed(per_message: int) -> Callable[[str, list[bytes]], None]:
    def score(address: str, images: list[bytes]) -> None:
        async def run(stub: scoring_pb2_grpc.ScoringServiceStub) -> None:
            free = asyncio.Semaphore(OUTSTANDING)

            async def requests() -> AsyncIterator[pb.ScoreStreamRequest]:
                for at in range(0, len(images), per_message):
                    share = images[at : at + per_message]
                    for _ in share:
                        await free.acquire()
                    yield pb.ScoreStreamRequest(images=[pb.Image(data=data) for data in share])

            answered = 0
            async for response in stub.ScoreStream(requests()):
                for outcome in response.outcomes:
                    assert outcome.HasField("verdict")
                    answered += 1
                    free.release()
            assert answered == len(images)

        _with_stub(address, run)

    return score


def by_client(address: str, images: list[bytes]) -> None:
    with Client(address) as client:
        numbered = ((str(number), data) for number, data in enumerate(images))
        outcomes = list(client.score_many(numbered, outstanding=OUTSTANDING))
    assert len(outcomes) == len(images)
    _check(outcomes)


def _with_stub(address: str, run: Callable[[scoring_pb2_grpc.ScoringServiceStub], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            await run(scoring_pb2_grpc.ScoringServiceStub(channel))  # type: ignore[no-untyped-call]

    asyncio.run(connected())


def server(bundle: Bundle, **variables: str) -> AbstractContextManager[tuple[str, int]]:
    """Address and process of a server that is ready."""
    command = "from assay.engine.commands.app import main; main()"
    arguments = ["serve", "--bundle", str(bundle.path), "--grpc", "127.0.0.1:0", "--cache-mib", "0"]
    return started(["-c", command, *arguments], **variables)


@contextmanager
def started(arguments: Sequence[str], **variables: str) -> Iterator[tuple[str, int]]:
    """Address and process of what Python runs with `arguments`, once it says that it serves gRPC."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, text=True, env=os.environ | variables
    )
    assert process.stderr
    try:
        log = ""
        while not (found := re.search(r"gRPC on (\S+)", log)):
            line = process.stderr.readline()
            if not line:
                raise SystemExit(f"the server ended:\n{log}")
            log += line
        yield found[1], process.pid
    finally:
        process.terminate()
        process.communicate()


def _item(data: bytes) -> Item:
    return Item("", data, priority=Priority.INTERACTIVE)


def _check(outcomes: list[Outcome]) -> None:
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)


WAYS: dict[str, Callable[[Bundle, list[bytes]], Run]] = {
    "engine alone": alone,
    "unary": lambda bundle, images: served(bundle, images, unary),
    "stream": lambda bundle, images: served(bundle, images, streamed(1)),
    "stream, 8 images a message": lambda bundle, images: served(bundle, images, streamed(8)),
    "stream, `Client.score_many`": lambda bundle, images: served(bundle, images, by_client),
}


def main(
    bundle: Annotated[str, typer.Option(help="A shipped bundle or a bundle's folder.")] = DEFAULT,
    images: Annotated[int, typer.Option(help="Images a run.")] = 2000,
    pairs: Annotated[int, typer.Option(help="Interleaved rounds of all ways.")] = 5,
    output: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Print a table in Markdown."""
    found = find(bundle)
    data = list(islice(cycle(made(min(DISTINCT, images))), images))
    rounds: list[dict[str, Run]] = []
    for number in range(pairs):
        order = list(WAYS) if number % 2 == 0 else list(reversed(WAYS))
        rounds.append({name: WAYS[name](found, data) for name in order})
    conditions = f"{images} JPEGs of 512x384, {OUTSTANDING} outstanding, the client on the same cores"
    lines = [
        f"{conditions}; {served_as(found)}; medians of {pairs} rounds.",
        "",
        provenance("assay", "grpcio", "protobuf", "openvino"),
        "",
    ]
    rows = [["", "images/s", "of the engine alone", "front CPU us per image", "client CPU us per image"]]
    for name in WAYS:
        runs = [each[name] for each in rounds]
        rate, front, client = (
            statistics.median(getattr(run, field) for run in runs) for field in ("rate", "front", "client")
        )
        share = statistics.median(each[name].rate / each["engine alone"].rate for each in rounds)
        rows.append([name, f"{rate:.1f}", f"{share:.3f}", f"{1e6 * front:.0f}", f"{1e6 * client:.0f}"])
    text = "\n".join([*lines, table(rows)])
    print(text)
    if output:
        output.write_text(text)


if __name__ == "__main__":
    typer.run(main)
