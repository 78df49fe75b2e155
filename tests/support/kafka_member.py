"""A member of a group in a process of its own, over `DisorderedCore`, which can be killed at any moment.

    python -m support.kafka_member SETTINGS [STAGE NUMBER]

SETTINGS are those of the door as JSON. With STAGE it kills itself when it comes there for the NUMBERth time,
and each of its transactions has one outcome then.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.producer.transaction_manager import EndTxnHandler, TransactionManager
from support.kafka import DisorderedCore

from assay.engine.doors.kafka import KafkaDoor, KafkaSettings, transactions
from assay.engine.errors import SetupError

STAGES = {
    "produced": (TransactionManager, "send_offsets_to_transaction"),
    "offsets sent": (TransactionManager, "begin_commit"),
    "committed, but not heard": (EndTxnHandler, "handle_response"),
}


@contextmanager
def member(settings: KafkaSettings, *stage: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Such a process; killed at the end if it still runs."""
    command = [sys.executable, "-m", "support.kafka_member", settings.model_dump_json(), *stage]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _die_at(stage: str, number: int) -> None:
    kind, name = STAGES[stage]
    method, left = getattr(kind, name), [number]

    def deadly(*args: Any, **named: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **named)

    setattr(kind, name, deadly)
    transactions.TRANSACTION_BYTES = 1


def main(settings: str, stage: str = "", number: str = "1") -> None:
    if stage:
        _die_at(stage, int(number))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    door = None
    while door is None and not ended.is_set():
        door = _started(KafkaSettings.model_validate_json(settings), ended)
    ended.wait()
    if door:
        door.drain(10)


def _started(settings: KafkaSettings, ended: threading.Event) -> KafkaDoor | None:
    """A door that serves, or none where no broker answers, as whoever watches a server tries again."""
    door = KafkaDoor(DisorderedCore(delay=0.05), settings)
    door.on_failure(lambda error: (print(error, file=sys.stderr), ended.set()))
    try:
        door.start()
    except SetupError as error:
        print(error, file=sys.stderr)
        door.stop()
        return None
    return door


if __name__ == "__main__":
    main(*sys.argv[1:])
