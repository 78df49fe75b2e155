"""What taking images in costs in several processes: CPU an image, and images a second, by how many there are.

    python -m assay.bench.fronts [--images 3000] [--rounds 5] [--kafka/--no-kafka]

`assay serve` with one worker that answers at once (`null_worker.py`), asked from this process over gRPC, by
several connections, or by records on a topic. CPU is of the engine's process and of all fronts; worker,
client and broker are not counted. All are measured in every round, in alternating order, on servers that live
as long as the rounds: those for gRPC first, then those for Kafka.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import grpc
import typer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from assay.bench.broker import Broker
from assay.bench.grpc import started
from assay.bench.provenance import provenance
from assay.bench.scan import DISTINCT
from assay.engine.bundle import DEFAULT, find
from assay.engine.load.images import made
from assay.engine.load.usage import cpu_seconds
from assay.engine.report.markdown import table
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc

COUNTS = (0, 1, 2, 3)
"""Front processes; 0: the engine's own takes images in."""
CONNECTIONS = 8
"""So that with near certainty each front has one."""
OUTSTANDING = 16
"""Images of a connection."""
OWN = [("grpc.use_local_subchannel_pool", 1)]
"""Else gRPC has one connection for all channels."""
WAYS: dict[str, int | None] = {"unary": None, "stream": 1, "stream, 8 a message": 8}
"""Images of a message."""
PARTITIONS = 8
"""Of each topic, so that each front has some."""
POLL = 0.02
"""Seconds between two looks at how many outcomes there are."""

Servers = Mapping[int, "Server"]
Load = Callable[[], None]


@dataclass(frozen=True)
class Run:
    """Images a second; CPU seconds an image, of the engine's process and of fronts."""

    rate: float
    engine: float
    fronts: float


Runs = dict[tuple[str, int], Run]
"""By way and number of fronts."""


@dataclass(frozen=True)
class Server:
    address: str
    pid: int

    def fronts(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task").glob("*/children")
        pids = [int(pid) for file in children for pid in file.read_text().split()]
        return [pid for pid in pids if b"assay.engine.fronts" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def run(self, load: Load, images: int) -> Run:
        """What so many images cost that `load` sends; it returns when all are answered."""
        fronts = self.fronts()
        before = cpu_seconds(self.pid), sum(map(cpu_seconds, fronts))
        start = time.perf_counter()
        load()
        seconds = time.perf_counter() - start
        used = cpu_seconds(self.pid) - before[0], sum(map(cpu_seconds, fronts)) - before[1]
        return Run(images / seconds, used[0] / images, used[1] / images)


def by_grpc(address: str, per_message: int | None, images: list[bytes]) -> None:
    asyncio.run(ask(address, per_message, images))


async def ask(address: str, per_message: int | None, images: list[bytes]) -> None:
    """Send each connection's share of `images` over it."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, OWN))
            for _ in range(CONNECTIONS)
        ]
        stubs = [scoring_pb2_grpc.ScoringServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
        shares = [images[number::CONNECTIONS] for number in range(CONNECTIONS)]
        if per_message is None:
            calls = [unary(stub, share) for stub, share in zip(stubs, shares, strict=True)]
        else:
            calls = [stream(stub, share, per_message) for stub, share in zip(stubs, shares, strict=True)]
        await asyncio.gather(*calls)


async def unary(stub: scoring_pb2_grpc.ScoringServiceStub, images: list[bytes]) -> None:
    waiting = iter(images)

    async def one_by_one() -> None:
        for data in waiting:
            answer = await stub.Score(pb.ScoreRequest(image=pb.Image(data=data)))
            assert answer.outcome.HasField("verdict")

    await asyncio.gather(*(one_by_one() for _ in range(OUTSTANDING)))


async def stream(stub: scoring_pb2_grpc.ScoringServiceStub, images: list[bytes], per_message: int) -> None:
    free = asyncio.Semaphore(OUTSTANDING)

    async def requests() -> AsyncIterator[pb.ScoreStreamRequest]:
        for at in range(0, len(images), per_message):
            share = [pb.Image(data=data) for data in images[at : at + per_message]]
            for _ in share:
                await free.acquire()
            yield pb.ScoreStreamRequest(images=share)

    answered = 0
    async for response in stub.ScoreStream(requests()):
        for outcome in response.outcomes:
            assert outcome.HasField("verdict")
            answered += 1
            free.release()
    assert answered == len(images)


def by_kafka(brokers: str, number: int, images: list[bytes]) -> None:
    """Send `images` to the topic of a server, and wait for as many verdicts."""
    consumer = KafkaConsumer(bootstrap_servers=brokers)
    written = [TopicPartition(f"verdicts-{number}", partition) for partition in range(PARTITIONS)]

    def verdicts() -> int:
        return int(sum(consumer.end_offsets(written).values()))

    before = verdicts()
    producer = KafkaProducer(bootstrap_servers=brokers, linger_ms=5)
    for place, data in enumerate(images):
        producer.send(f"images-{number}", data, partition=place % PARTITIONS)
    producer.close()
    while verdicts() < before + len(images):
        time.sleep(POLL)
    consumer.close()


@contextmanager
def servers(brokers: str | None = None) -> Iterator[Servers]:
    """One for each of `COUNTS`, ready; with topics of its own where there are `brokers`."""
    bundle = str(find(DEFAULT).path)
    serve = ["serve", "--bundle", bundle, "--grpc", "127.0.0.1:0", "--cache-mib", "0", "--fronts"]
    with ExitStack() as stack:
        found = {}
        for count in COUNTS:
            processes = ["beside", *serve, "2"] if count == 1 else ["processes", *serve, str(count or 1)]
            arguments = ["-m", "assay.bench.null_server", *processes]
            if brokers:
                names = [f"{name}-{count}" for name in ("images", "verdicts", "rejects", "group")]
                options = zip(("--in", "--out", "--rejects", "--group"), names, strict=True)
                arguments += ["--kafka", brokers, *(word for option in options for word in option)]
            address, pid = stack.enter_context(
                started(arguments, ASSAY_QUEUE_SECONDS="60", ASSAY_WORKERS="1")
            )
            found[count] = Server(address, pid)
            while len(found[count].fronts()) < count:
                time.sleep(0.1)
        yield found


def rounds_of(servers: Servers, ways: Mapping[tuple[str, int], Load], images: int, rounds: int) -> list[Runs]:
    """Run all ways in turn, forwards and backwards."""
    found = []
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        runs = {key: servers[key[1]].run(ways[key], images) for key in order}
        found.append({key: runs[key] for key in ways})
    return found


def over_grpc(data: list[bytes], rounds: int) -> list[Runs]:
    with servers() as each:
        for server in each.values():  # what is only done once is not counted
            for per_message in WAYS.values():
                by_grpc(server.address, per_message, data[:256])
        ways: dict[tuple[str, int], Load] = {
            (name, count): partial(by_grpc, each[count].address, per_message, data)
            for name, per_message in WAYS.items()
            for count in COUNTS
        }
        return rounds_of(each, ways, len(data), rounds)


def over_kafka(data: list[bytes], rounds: int) -> list[Runs]:
    with Broker() as broker:
        names = [f"{name}-{count}" for name in ("images", "verdicts", "rejects") for count in COUNTS]
        broker.create_topics(dict.fromkeys(names, PARTITIONS))
        with servers(broker.bootstrap) as each:
            for count in each:
                by_kafka(broker.bootstrap, count, data[:256])
            ways: dict[tuple[str, int], Load] = {
                ("Kafka", count): partial(by_kafka, broker.bootstrap, count, data) for count in COUNTS
            }
            return rounds_of(each, ways, len(data), rounds)


def shown(rounds: list[Runs]) -> str:
    """Medians, and those of each round's ratio to no front."""
    head = ["", "fronts", "images/s", "CPU us an image", "engine's process", "fronts'", "CPU of 0"]
    rows = [head]
    for way, count in rounds[0]:
        runs = [each[way, count] for each in rounds]
        engine, fronts = (1e6 * statistics.median(values) for values in zip(*map(_parts, runs), strict=True))
        ratio = statistics.median(_cpu(each[way, count]) / _cpu(each[way, 0]) for each in rounds)
        cpu = 1e6 * statistics.median(map(_cpu, runs))
        rate = statistics.median(run.rate for run in runs)
        rows.append(
            [way, f"{count}", f"{rate:.0f}", f"{cpu:.0f}", f"{engine:.0f}", f"{fronts:.0f}", f"{ratio:.2f}"]
        )
    return table(rows)


def _parts(run: Run) -> tuple[float, float]:
    return run.engine, run.fronts


def _cpu(run: Run) -> float:
    return run.engine + run.fronts


def main(
    images: Annotated[int, typer.Option(help="Images a run.")] = 3000,
    rounds: Annotated[int, typer.Option(help="Rounds of all.")] = 5,
    kafka: Annotated[
        bool, typer.Option("--kafka/--no-kafka", help="Measure Kafka, too, which starts a broker.")
    ] = True,
) -> None:
    """Print a table in Markdown."""
    images -= images % (8 * CONNECTIONS)  # whole messages
    data = list(islice(cycle(made(min(DISTINCT, images))), images))
    found = over_grpc(data, rounds)
    if kafka:
        found = [one | other for one, other in zip(found, over_kafka(data, rounds), strict=True)]
    print(
        f"{images} JPEGs of 512x384, {CONNECTIONS} connections with {OUTSTANDING} outstanding each from one "
        f"client, {PARTITIONS} partitions, one null worker; clients, worker and broker are on the same cores "
        f"and not counted; with 0 the engine's process takes images in itself; medians of {rounds} rounds."
    )
    print(f"\n{provenance('assay', 'grpcio', 'protobuf', 'kafka-python')}\n")
    print(shown(found))


if __name__ == "__main__":
    typer.run(main)
