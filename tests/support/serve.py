"""`assay serve` as a process of its own, as users run it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.kafka import Topics

from assay.engine.doors.kafka import KafkaSettings

ASSAY = str(Path(sys.executable).with_name("assay"))


def kafka_options(settings: KafkaSettings) -> list[str]:
    return [
        *("--kafka", settings.brokers, "--group", settings.group),
        *("--in", settings.input, "--out", settings.output, "--rejects", settings.rejects),
    ]


@contextmanager
def served(topics: Topics, bundle: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A serving process over the topics; killed at the end if it still runs."""
    command = [ASSAY, "serve", "--bundle", str(bundle), "--workers", "1", *options]
    process = subprocess.Popen([*command, *kafka_options(topics.settings())])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
