"""What exactly once costs on the Kafka door, against at least once.

    python -m assay.bench.kafka_delivery [--bundle B] [--images 2000] [--pairs 3] [--looks 300]

A real broker runs on the same cores. Rates are those of `assay.bench.kafka`: the door over a core that
answers at once, then over the engine. Latency is that of the door alone, from the call that sends a record
until a reader of committed verdicts has its verdict, with 50 records a second.
"""

import os
import statistics
import threading
import time
import uuid
from itertools import cycle, islice
from typing import Annotated, Any, Literal

import typer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from assay.bench.broker import Broker
from assay.bench.kafka import PARTITIONS, InstantCore, by_door, pairs_of
from assay.bench.provenance import provenance, served_as
from assay.bench.scan import DISTINCT, Run
from assay.engine.bundle import DEFAULT, find
from assay.engine.core import Core
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
from assay.engine.load.images import made
from assay.engine.settings import Settings

Delivery = Literal["exactly-once", "at-least-once"]
EXACTLY: Delivery = "exactly-once"
AT_LEAST: Delivery = "at-least-once"
PAUSE_SECONDS = 0.02


def latencies(broker: Broker, delivery: Delivery, data: bytes, looks: int) -> list[float]:
    """Seconds from sending each record to reading its verdict, sorted."""
    name = uuid.uuid4().hex
    settings = KafkaSettings(
        brokers=broker.bootstrap,
        input=f"{name}-in",
        output=f"{name}-out",
        rejects=f"{name}-rejects",
        group=name,
        delivery=delivery,
    )
    broker.create_topics(dict.fromkeys((settings.input, settings.output, settings.rejects), PARTITIONS))
    reader = KafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level="read_committed")
    reader.assign([TopicPartition(settings.output, number) for number in range(PARTITIONS)])
    reader.seek_to_beginning()
    door = KafkaDoor(InstantCore(), settings)
    door.start()
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    sent: list[float] = []

    def send() -> None:
        for number in range(looks):
            sent.append(time.perf_counter())
            producer.send(settings.input, data, key=b"%d" % number, partition=number % PARTITIONS)
            time.sleep(PAUSE_SECONDS)

    source = threading.Thread(target=send)
    source.start()
    found: list[float] = []
    while len(found) < looks:
        for records in reader.poll(timeout_ms=100).values():
            now = time.perf_counter()
            found.extend(now - sent[int(record.key)] for record in records)
    source.join()
    producer.close()
    door.drain(10)
    reader.close()
    return sorted(found[looks // 10 :])  # the first wait for the group to form


def table(title: str, runs: list[tuple[Run, Run]]) -> None:
    print(f"\n{title}\n\n| | records/s | CPU ms per record |\n|---|---|---|")
    for label, which in ((EXACTLY, 0), (AT_LEAST, 1)):
        rate = statistics.median(pair[which].rate for pair in runs)
        cpu = statistics.median(pair[which].cpu for pair in runs)
        print(f"| {label} | {rate:.0f} | {1000 * cpu:.3f} |")
    print(f"| ratio | {statistics.median(one.rate / other.rate for one, other in runs):.3f} | |")


def main(
    bundle: Annotated[str, typer.Option(help="A shipped bundle or a bundle's folder.")] = DEFAULT,
    images: Annotated[int, typer.Option(help="Images a run.")] = 2000,
    pairs: Annotated[int, typer.Option(help="Pairs of runs.")] = 3,
    looks: Annotated[int, typer.Option(help="Records whose latency is measured.")] = 300,
) -> None:
    """Print the tables in Markdown."""
    served = find(bundle)
    files = made(min(DISTINCT, images))
    with Broker() as broker:
        broker.create_topics(dict.fromkeys(("images", "verdicts", "rejects"), PARTITIONS))
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
        for number, data in enumerate(islice(cycle(files), images)):
            producer.send("images", data, partition=number % PARTITIONS)
        producer.close()

        def run(delivery: Delivery, core: Any, pids: list[int]) -> Run:
            settings = KafkaSettings(
                brokers=broker.bootstrap,
                input="images",
                output="verdicts",
                rejects="rejects",
                group=uuid.uuid4().hex,  # a new group reads from the beginning
                delivery=delivery,
            )
            return by_door(settings, core, images, pids)

        print(f"{images} JPEGs on {PARTITIONS} partitions, {pairs} pairs of runs.\n")
        print(provenance("assay", "kafka-python", "crc32c", "openvino"))
        own = [os.getpid()]
        core = InstantCore()
        table(
            "Without an engine:",
            pairs_of(lambda: run(EXACTLY, core, own), lambda: run(AT_LEAST, core, own), pairs),
        )
        print("\nLatency without an engine:\n\n| | median ms | p99 ms |\n|---|---|---|")
        for delivery in (EXACTLY, AT_LEAST):
            found = latencies(broker, delivery, files[0], looks)
            median, late = (1000 * found[round(part * (len(found) - 1))] for part in (0.5, 0.99))
            print(f"| {delivery} | {median:.1f} | {late:.1f} |")
        engine = Core([served], Settings())
        pids = [*own, *engine.pids()]
        run(AT_LEAST, engine, pids)
        table(
            f"With the engine, {served_as(served)}:",
            pairs_of(lambda: run(EXACTLY, engine, pids), lambda: run(AT_LEAST, engine, pids), pairs),
        )
        engine.stop()


if __name__ == "__main__":
    typer.run(main)
