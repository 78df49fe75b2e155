"""The Kafka door against what it stands between: a bare consume-and-produce loop, and the engine alone.

    python -m assay.bench.kafka [--bundle B] [--images 2000] [--pairs 3]

A real broker runs on the same cores. The first pair has no engine: the door over a core that answers at once,
and a loop of the same two clients that reads every record and writes a verdict. The second pair has the
engine: images on a topic, and the same images submitted from memory. Times run from the first record taken to
the last one committed; CPU is that of this process and its workers. Ratios are medians of each pair's own.
"""

import os
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import cycle, islice
from typing import Annotated

import typer
from kafka import KafkaProducer

from assay.bench.broker import Broker
from assay.bench.provenance import provenance, served_as
from assay.bench.scan import DISTINCT, Run
from assay.engine.bundle import DEFAULT, find
from assay.engine.core import Core
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings, clients
from assay.engine.doors.kafka.answer import to_answer
from assay.engine.doors.kafka.intake import Core as Offered
from assay.engine.doors.kafka.records import to_item
from assay.engine.item import Item
from assay.engine.load.images import made
from assay.engine.load.usage import cpu_seconds
from assay.engine.outcome import Label, Outcome, Verdict
from assay.engine.settings import Settings

PARTITIONS = 4


class InstantCore:
    """Answers every item at once with the same verdict."""

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        futures = []
        for item in items:
            future = Future[Outcome]()
            future.set_result(verdict(item.id))
            futures.append(future)
        return futures


def verdict(id: str) -> Verdict:
    return Verdict(id, Label.AUTHENTIC, 0.1, {"plain": -2.0}, "none", "0")


class Watched:
    """A core that notes when the first item came and when `count` were done."""

    def __init__(self, core: Offered, count: int) -> None:
        self.first = 0.0
        self.finished = threading.Event()
        self._core = core
        self._left = count
        self._lock = threading.Lock()

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        self.first = self.first or time.perf_counter()
        futures = self._core.offer(items)
        for future in futures:
            future.add_done_callback(self._done)
        return futures

    def _done(self, _: Future[Outcome]) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.finished.set()


def by_door(settings: KafkaSettings, core: Offered, count: int, pids: list[int]) -> Run:
    """All records of the topic through the door."""
    watched = Watched(core, count)
    door = KafkaDoor(watched, settings)
    before = sum(map(cpu_seconds, pids))
    door.start()
    watched.finished.wait()
    door.drain(60)
    seconds = time.perf_counter() - watched.first
    return Run(count / seconds, (sum(map(cpu_seconds, pids)) - before) / count)


def by_bare_loop(settings: KafkaSettings, count: int, pids: list[int]) -> Run:
    """The least that can be done with the same clients."""
    before = sum(map(cpu_seconds, pids))
    topics = clients.describe(settings)
    producer = clients.open_producer(settings, topics.limits)
    consumer = clients.open_consumer(settings)
    consumer.subscribe([settings.input])
    seen, first = 0, 0.0
    while seen < count:
        for records in consumer.poll(timeout_ms=100).values():
            first = first or time.perf_counter()
            for record in records:
                seen += 1
                answer = to_answer(
                    record,
                    verdict(to_item(record, settings.id_header).id),
                    output=settings.output,
                    rejects=settings.rejects,
                    partitions=topics.partitions,
                    limits=topics.limits,
                )
                producer.send(answer.topic, answer.value, answer.key, answer.headers, answer.partition)
    producer.flush()
    consumer.commit()
    seconds = time.perf_counter() - first
    consumer.close()
    producer.close()
    return Run(count / seconds, (sum(map(cpu_seconds, pids)) - before) / count)


def by_submit(core: Core, files: list[bytes], count: int, pids: list[int]) -> Run:
    """The same images from memory."""
    before, start = sum(map(cpu_seconds, pids)), time.perf_counter()
    images = islice(cycle(files), count)
    futures = [core.submit([Item(str(number), data)], wait=True)[0] for number, data in enumerate(images)]
    for future in futures:
        future.result()
    seconds = time.perf_counter() - start
    return Run(count / seconds, (sum(map(cpu_seconds, pids)) - before) / count)


def pairs_of(one: Callable[[], Run], other: Callable[[], Run], pairs: int) -> list[tuple[Run, Run]]:
    """Run both in turn, each first as often as second."""
    found = []
    for number in range(pairs):
        if number % 2:
            second = other()
            found.append((one(), second))
        else:
            found.append((one(), other()))
    return found


def table(title: str, peer: str, runs: list[tuple[Run, Run]]) -> None:
    print(f"\n{title}\n\n| | records/s | CPU ms per record |\n|---|---|---|")
    for label, which in (("Kafka door", 0), (peer, 1)):
        rate = statistics.median(pair[which].rate for pair in runs)
        cpu = statistics.median(pair[which].cpu for pair in runs)
        print(f"| {label} | {rate:.0f} | {1000 * cpu:.3f} |")
    rate = statistics.median(door.rate / other.rate for door, other in runs)
    cpu = statistics.median(door.cpu / other.cpu for door, other in runs)
    print(f"| ratio | {rate:.3f} | {cpu:.3f} |")


def main(
    bundle: Annotated[str, typer.Option(help="A shipped bundle or a bundle's folder.")] = DEFAULT,
    images: Annotated[int, typer.Option(help="Images a run.")] = 2000,
    pairs: Annotated[int, typer.Option(help="Pairs of runs.")] = 3,
) -> None:
    """Print two tables in Markdown."""
    served = find(bundle)
    files = made(min(DISTINCT, images))
    with Broker() as broker:
        broker.create_topics(dict.fromkeys(("images", "verdicts", "rejects"), PARTITIONS))
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
        for number, data in enumerate(islice(cycle(files), images)):
            producer.send("images", data, partition=number % PARTITIONS)
        producer.close()

        def fresh() -> KafkaSettings:  # a new group reads from the beginning
            return KafkaSettings(
                brokers=broker.bootstrap,
                input="images",
                output="verdicts",
                rejects="rejects",
                group=uuid.uuid4().hex,
            )

        size = sum(map(len, files)) // len(files) // 1000
        print(
            f"{images} JPEGs of 512x384 ({size} kB each) on {PARTITIONS} partitions, {pairs} pairs of runs.\n"
        )
        print(provenance("assay", "kafka-python", "crc32c", "openvino"))
        own = [os.getpid()]
        runs = pairs_of(
            lambda: by_door(fresh(), InstantCore(), images, own),
            lambda: by_bare_loop(fresh(), images, own),
            pairs,
        )
        table("Without an engine:", "bare loop", runs)
        core = Core([served], Settings())
        pids = [*own, *core.pids()]
        by_submit(core, files, min(images, 50), pids)
        runs = pairs_of(
            lambda: by_door(fresh(), core, images, pids),
            lambda: by_submit(core, files, images, pids),
            pairs,
        )
        core.stop()
        table(f"With the engine, {served_as(served)}:", "engine alone", runs)


if __name__ == "__main__":
    typer.run(main)
