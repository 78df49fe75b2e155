"""`make demo`: Apache Kafka on loopback, `assay serve`, a producer, and a table of what came of each image.

Ends with 0 when every input has exactly one outcome.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from assay.bench.broker import Broker
from assay.bench.demo.uploads import KINDS, Upload, uploads
from assay.engine import bundle as bundles
from assay.engine.bundle import Manifest
from assay.engine.errors import AssayError, SetupError

TOPICS = {"images": 4, "verdicts": 1, "rejects": 1}
PATIENCE = 100.0
"""Seconds without an outcome that end the demo: a stall must not hang it, a slow machine may be slow."""
AFTERWARDS = 1.0
"""Seconds in which a second outcome of an input would still be seen."""

console = Console()


def main() -> int:
    """Run the demo -> exit code."""
    sent = uploads()
    console.print("Starting Apache Kafka on loopback; the first time it is downloaded (44 MB).")
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder, Broker() as broker:
        broker.create_topics(TOPICS)
        with serving(broker.bootstrap, Path(folder) / "serve.log"):
            console.print(f"`assay serve` is up. Streaming {len(sent)} images.")
            outcomes, seconds = stream(broker.bootstrap, sent)
    return report(sent, outcomes, seconds)


@contextmanager
def serving(brokers: str, log: Path) -> Iterator[None]:
    """`assay serve` between the demo's topics; ended by SIGTERM, which must leave exit code 0.

    Raises:
        SetupError: it ended with another code; what it logged is shown.
    """
    command = [sys.executable, "-P", "-c", "from assay.engine.commands.app import main; main()", "serve"]
    command += ["--kafka", brokers, "--in", "images", "--out", "verdicts", "--rejects", "rejects"]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--group", "demo"], stdout=stream, stderr=stream)
    try:
        yield
    finally:
        process.terminate()
        if code := process.wait(60):
            console.print(log.read_text(), markup=False, highlight=False)
            raise SetupError(f"`assay serve` ended with code {code}; its log is above")


def stream(brokers: str, sent: Sequence[Upload]) -> tuple[dict[str, list[str]], float]:
    """Send everything and collect outcomes -> those of each name, and the seconds between first and last."""
    outcomes: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    producer = threading.Thread(target=send, args=(brokers, sent), daemon=True)
    producer.start()
    consumer = KafkaConsumer(
        "verdicts", "rejects", bootstrap_servers=brokers, auto_offset_reset="earliest", group_id=None
    )
    first = last = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while time.monotonic() < last + PATIENCE:
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    name, outcome = read(record.headers, record.value)
                    last = time.monotonic()
                    first = last if not outcomes else first
                    outcomes[name].append(outcome)
                    counts[outcome] += 1
            live.update(line(counts, len(sent), last - first))
            if len(outcomes) == len(sent) and time.monotonic() > last + AFTERWARDS:
                break
    consumer.close()
    producer.join()
    return outcomes, last - first


def send(brokers: str, sent: Sequence[Upload]) -> None:
    """Produce every upload, named by its key and by the header that makes it the outcome's id."""
    producer = KafkaProducer(bootstrap_servers=brokers, max_request_size=32 << 20)
    for upload in sent:
        name = upload.name.encode()
        producer.send("images", key=name, value=upload.data, headers=[("assay.id", name)])
    producer.flush()
    producer.close()


def read(headers: Sequence[tuple[str, bytes]], value: bytes) -> tuple[str, str]:
    """The name and the outcome of a record on either topic."""
    found = dict(headers)
    if reason := found.get("assay.reason"):
        return found["assay.id"].decode(), reason.decode()
    verdict = json.loads(value)
    return verdict["id"], verdict["label"]


def line(counts: Counter[str], expected: int, seconds: float) -> str:
    """`120/300  41 images/s  60 authentic  50 synthetic`."""
    total = counts.total()
    rate = total / seconds if seconds > 0 else 0.0
    kinds = "  ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"{total}/{expected}  {rate:.0f} images/s  {kinds}"


def report(sent: Sequence[Upload], outcomes: dict[str, list[str]], seconds: float) -> int:
    """Print the table of outcomes -> 0 if every input has exactly one."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for upload in sent:
        table[upload.kind].update(outcomes.get(upload.name, ["none"]))
    columns = sorted({kind for row in table.values() for kind in row})
    grid = Table(
        "sent", *(Column(name, justify="right", overflow="fold") for name in columns), title="Outcomes"
    )
    for kind, row in sorted(table.items()):
        grid.add_row(kind, *(str(row[column] or "") for column in columns))
    console.print(grid)
    console.print(of_generators(sent, outcomes))
    console.print(of_the_card(bundles.find(bundles.DEFAULT).manifest))
    several = [name for name, found in outcomes.items() if len(found) > 1]
    missing = [upload.name for upload in sent if upload.name not in outcomes]
    console.print(f"{len(sent)} images in {seconds:.1f} s: {len(sent) / max(seconds, 1e-9):.0f} images/s.")
    if several or missing:
        console.print(f"Not one outcome each: {len(missing)} without, {len(several)} with several.")
        return 1
    console.print("Every input has exactly one outcome.")
    return 0


def of_generators(sent: Sequence[Upload], outcomes: dict[str, list[str]]) -> str:
    """Which of the text-to-image models' outputs, as they are stored, got which label."""
    models: dict[str, list[str]] = defaultdict(list)
    for name in sorted(upload.name for upload in sent if upload.kind == KINDS["generated"]):
        if "/" not in name:  # not the crops and re-encodings
            for label in outcomes.get(name, ["none"]):
                models[label].append(name.removeprefix("generated-").removesuffix(".jpg"))
    lines = [f"  {label}: {', '.join(found)}" for label, found in sorted(models.items())]
    return "\n".join(["Of the text-to-image models, as stored (only synthetic is right):", *lines])


def of_the_card(manifest: Manifest) -> str:
    """The false alarms and the catch that the bundle's card states."""
    pool = manifest.metrics["all"]
    return (
        f"{manifest.name} {manifest.version} calls {pool['photos_synthetic']:.0%} of {pool['photos']} "
        f"photographs and {pool['fakes_synthetic']:.0%} of {pool['fakes']} synthetic images synthetic, "
        "from sources that it was not trained on."
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AssayError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(2)
