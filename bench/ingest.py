"""What the front costs: CPU an image with workers that answer at once, as a ratio to what the same libraries
cost without Assay.

    python -m assay.bench.ingest [--images 3000] [--rounds 5] [--kafka/--no-kafka]

CPU is of the front's process alone: clients and the broker are other processes and are not counted. Null
workers (`null_worker.py`) are in the front and answer at once, its worst case: batches hold an image or two.
Where they are processes, a batch takes 2 ms whatever its size, as on a GPU, and handing it over counts.

The floors are grpc.aio that takes bytes and returns bytes (`null_server.py`), and a loop of kafka-python's
consumer and producer. All ways run in every round, in alternating order, on servers that live as long as the
benchmark; ratios are medians of each round's own.
"""

import os
import statistics
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated

import typer
from kafka import KafkaProducer

from assay.bench import grpc, kafka
from assay.bench.broker import Broker
from assay.bench.null_worker import take_over
from assay.bench.provenance import provenance
from assay.bench.scan import DISTINCT
from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.core import Core
from assay.engine.doors.kafka import KafkaSettings
from assay.engine.load.images import made
from assay.engine.report.markdown import table
from assay.engine.settings import Settings

EIGHT = 8
SERVER = ["-m", "assay.bench.null_server"]


@dataclass(frozen=True)
class Run:
    """Images a second, and CPU seconds of the front an image."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Way:
    """One way in. `floor` names the way that it is compared to, `target` the most of it that it may cost."""

    run: Callable[[], Run]
    floor: str | None = None
    target: float | None = None


@contextmanager
def grpc_ways(bundle: Bundle, images: list[bytes]) -> Iterator[dict[str, Way]]:
    """The core alone, and what comes over gRPC."""
    serve = ["serve", "--bundle", str(bundle.path), "--grpc", "127.0.0.1:0", "--cache-mib", "0"]
    with ExitStack() as stack:
        front, processes = (
            stack.enter_context(
                grpc.started([*SERVER, kind, *serve], ASSAY_QUEUE_SECONDS="60", ASSAY_WORKERS="1")
            )
            for kind in ("front", "processes")
        )
        one = stack.enter_context(grpc.started([*SERVER, "bare", "1"]))
        eight = stack.enter_context(grpc.started([*SERVER, "bare", str(EIGHT)]))

        def over(server: tuple[str, int], score: Callable[[str, list[bytes]], None]) -> Callable[[], Run]:
            return lambda: _front(grpc.measured(*server, images, score))

        yield {
            "core alone": Way(lambda: _front(grpc.alone(bundle, images))),
            "gRPC unary, floor": Way(over(one, grpc.unary)),
            "gRPC unary": Way(over(front, grpc.unary), "gRPC unary, floor", 1.5),
            "gRPC unary, a worker that takes 2 ms": Way(over(processes, grpc.unary), "gRPC unary, floor"),
            "gRPC stream, floor": Way(over(one, grpc.streamed(1))),
            "gRPC stream": Way(over(front, grpc.streamed(1)), "gRPC stream, floor"),
            "gRPC stream, `Client.score_many`": Way(over(front, grpc.by_client), "gRPC stream, floor"),
            "gRPC stream, 8 a message, floor": Way(over(eight, grpc.streamed(EIGHT))),
            "gRPC unary, 8 a message, floor": Way(over(eight, grpc.called(EIGHT))),
            "gRPC stream, 8 a message": Way(
                over(front, grpc.streamed(EIGHT)), "gRPC unary, 8 a message, floor", 2.5
            ),
            "gRPC stream, 8 a message, a worker that takes 2 ms": Way(
                over(processes, grpc.streamed(EIGHT)), "gRPC unary, 8 a message, floor"
            ),
        }


def _front(run: grpc.Run) -> Run:
    return Run(run.rate, run.front)


@contextmanager
def kafka_ways(bundle: Bundle, images: list[bytes]) -> Iterator[dict[str, Way]]:
    """What comes from a topic: the door over a core that answers at once, and over one with null workers."""
    with Broker() as broker:
        broker.create_topics(dict.fromkeys(("images", "verdicts", "rejects"), kafka.PARTITIONS))
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
        for number, data in enumerate(images):
            producer.send("images", data, partition=number % kafka.PARTITIONS)
        producer.close()

        def fresh() -> KafkaSettings:  # a new group reads from the beginning
            return KafkaSettings(
                brokers=broker.bootstrap,
                input="images",
                output="verdicts",
                rejects="rejects",
                group=uuid.uuid4().hex,
            )

        def by_loop() -> Run:
            run = kafka.by_bare_loop(fresh(), len(images), own)
            return Run(run.rate, run.cpu)

        def by_door() -> Run:
            run = kafka.by_door(fresh(), kafka.InstantCore(), len(images), own)
            return Run(run.rate, run.cpu)

        def by_core() -> Run:
            core = Core([bundle], Settings(workers=1))
            run = kafka.by_door(fresh(), core, len(images), own)
            core.stop()
            return Run(run.rate, run.cpu)

        own = [os.getpid()]
        yield {
            "Kafka, floor": Way(by_loop),
            "Kafka door": Way(by_door, "Kafka, floor", 1.15),
            "Kafka door and core": Way(by_core, "Kafka, floor"),
        }


def rounds_of(ways: Mapping[str, Way], count: int) -> list[dict[str, Run]]:
    """Run all ways in turn, forwards and backwards."""
    found = []
    for number in range(count):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        found.append({name: ways[name].run() for name in order})
    return found


def shown(ways: Mapping[str, Way], rounds: list[dict[str, Run]]) -> str:
    """The table: medians, and the least and most of each round's ratio."""
    rows = [["", "images/s", "front CPU us an image", "of the floor", "least to most", "target"]]
    for name, way in ways.items():
        runs = [each[name] for each in rounds]
        row = [name, *(f"{statistics.median(values):.0f}" for values in _columns(runs))]
        if way.floor:
            ratios = [each[name].cpu / each[way.floor].cpu for each in rounds]
            row += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
        rows.append([*row, *[""] * (5 - len(row)), f"{way.target}" if way.target else ""])
    return table(rows)


def _columns(runs: list[Run]) -> tuple[list[float], list[float]]:
    return [run.rate for run in runs], [1e6 * run.cpu for run in runs]


def main(
    images: Annotated[int, typer.Option(help="Images a run.")] = 3000,
    rounds: Annotated[int, typer.Option(help="Rounds of all ways.")] = 5,
    with_kafka: Annotated[
        bool, typer.Option("--kafka/--no-kafka", help="Measure Kafka, too, which starts a broker.")
    ] = True,
) -> None:
    """Print a table in Markdown."""
    take_over(processes=False)
    os.environ["ASSAY_WORKERS"] = "1"
    bundle = find(DEFAULT)
    images -= images % EIGHT  # the floor answers whole messages
    data = list(islice(cycle(made(min(DISTINCT, images))), images))
    with ExitStack() as stack:
        ways = stack.enter_context(grpc_ways(bundle, data))
        if with_kafka:
            ways |= stack.enter_context(kafka_ways(bundle, data))
        rounds_of(ways, 1)  # what is only done once is not counted
        found = rounds_of(ways, rounds)
    size = sum(map(len, data)) // len(data) // 1000
    print(
        f"{images} JPEGs of 512x384 ({size} kB each), {grpc.OUTSTANDING} outstanding over gRPC, one null "
        f"worker, clients and broker on the same cores and not counted; medians of {rounds} rounds."
    )
    print(f"\n{provenance('assay', 'grpcio', 'protobuf', 'kafka-python', 'crc32c')}\n")
    print(shown(ways, found))


if __name__ == "__main__":
    typer.run(main)
