"""Very many small images through Kafka: has each one verdict, and what does the memory of the server do?

    python -m assay.bench.kafka_long [--images 1000000]

`assay serve` runs with workers that answer at once (`null_server.py`) and without its cache; a broker, the
producer and the reader of verdicts share the cores with it. A record's key is its number.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from assay.bench.broker import Broker
from assay.bench.kafka import PARTITIONS
from assay.bench.provenance import provenance
from assay.engine.load.images import made
from assay.engine.load.usage import cpu_seconds
from assay.engine.report.markdown import table

SIDE = 64
ROWS = 10
SILENCE = 60.0
"""Seconds without a verdict after which no more are waited for."""


def memory(pid: int) -> float:
    """Resident MiB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


def produce(broker: Broker, image: bytes, count: int) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=20, batch_size=1 << 18)
    for number in range(count):
        producer.send("images", image, key=b"%d" % number, partition=number % PARTITIONS)
    producer.close()


def read(broker: Broker, count: int, pid: int) -> tuple[bytearray, list[tuple[int, float, float, float]]]:
    """How many verdicts each record has, at most 255, and rows of (verdicts, seconds, MiB, CPU seconds)."""
    reader = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    reader.assign([TopicPartition("verdicts", number) for number in range(PARTITIONS)])
    reader.seek_to_beginning()
    seen, read, step = bytearray(count), 0, max(1, count // ROWS)
    rows, start, last = [(0, 0.0, memory(pid), 0.0)], 0.0, time.perf_counter()
    used = cpu_seconds(pid)
    while read < count and time.perf_counter() - last < SILENCE:
        for records in reader.poll(timeout_ms=200).values():
            last = time.perf_counter()
            start = start or last
            for record in records:
                seen[int(record.key)] += 1
            read += len(records)
        if read // step > rows[-1][0] // step:
            rows.append((read, last - start, memory(pid), cpu_seconds(pid) - used))
    reader.close()
    return seen, rows


def main(images: Annotated[int, typer.Option(help="Records.", min=ROWS)] = 1_000_000) -> None:
    """Print the table in Markdown."""
    (image,) = made(1, SIDE, SIDE)
    with Broker() as broker:
        broker.create_topics(dict.fromkeys(("images", "verdicts", "rejects"), PARTITIONS))
        ways = ["--kafka", broker.bootstrap, "--in", "images", "--out", "verdicts", "--rejects", "rejects"]
        command = [sys.executable, "-P", "-m", "assay.bench.null_server", "front", "serve", *ways]
        server = subprocess.Popen([*command, "--group", "long", "--cache-mib", "0"])
        try:
            source = threading.Thread(target=produce, args=(broker, image, images), daemon=True)
            source.start()
            seen, rows = read(broker, images, server.pid)
            source.join()
        finally:
            server.terminate()
            server.wait()
    print(f"{images} JPEGs of {SIDE}x{SIDE}, {len(image)} bytes, {PARTITIONS} partitions, null workers\n")
    print(f"{provenance('assay', 'kafka-python')}\n")
    figures = [
        (str(read), f"{seconds:.0f}", f"{mib:.0f}", f"{1e6 * cpu / max(1, read):.0f}")
        for read, seconds, mib, cpu in rows
    ]
    print(table([("verdicts", "s", "MiB of the server", "CPU us a record until then"), *figures]))
    print(f"\nRecords without a verdict: {seen.count(0)}; with more than one: {sum(map((1).__lt__, seen))}.")


if __name__ == "__main__":
    typer.run(main)
