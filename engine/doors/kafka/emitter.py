"""Sends outcomes, each partition's in offset order, and does not rest until every one is acknowledged.

kafka-python's idempotent producer does not survive an error that is not retriable: all later sends fail.
So after any failed send the producer is thrown away, a new one is made, and what was not acknowledged is sent
again, in order: an outcome may arrive twice, never not at all. The same happens when nothing was acknowledged
for too long. One thread does all of it; the core's threads only tell it where to look.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from kafka.errors import AuthorizationError, KafkaError

from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.doors.kafka.records import to_answer
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import SetupError

log = logging.getLogger(__name__)

SILENCE_SECONDS = 75.0  # above the producer's own delivery timeout
RETRY_SECONDS = 1.0
REBUILDS_WITHOUT_PROGRESS = 5


@dataclass(frozen=True, slots=True)
class _Broken:
    """The producer of a generation failed to deliver."""

    generation: int
    error: Exception


class Emitter:
    """Owns the producer. `partitions` gives those assigned; `on_failure` is told what cannot be mended.

    `on_acknowledged` runs in the producer's thread after each acknowledgement, and must not block.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        partitions: Callable[[], Iterable[Partition]],
        on_acknowledged: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._on_acknowledged = on_acknowledged
        self._on_failure = on_failure
        self._events: SimpleQueue[Partition | _Broken | None] = SimpleQueue()
        self._closing = threading.Event()
        self._generation = 0
        self._rebuilds = 0
        self._fault: Exception | None = None
        self._producer: Any = None
        self._topics: clients.Topics
        self._thread = threading.Thread(target=self._run, name="kafka-emitter", daemon=True)

    def start(self) -> None:
        """Connect, and begin.

        Raises:
            SetupError: no broker answers, it refuses us, or a topic is missing.
        """
        self._connect()
        self._thread.start()

    def notify(self, partition: Partition) -> None:
        """Some outcome of `partition` is ready. Returns at once; from any thread."""
        self._events.put(partition)

    def close(self) -> None:
        """Stop sending and let go of the producer; what it has not delivered is lost."""
        self._closing.set()
        self._events.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        if self._producer is not None:
            clients.discard(self._producer)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                if self._fault is not None:
                    self._rebuild(self._fault)
                try:
                    event = self._events.get(timeout=RETRY_SECONDS)
                except Empty:
                    self._watch()
                    continue
                if isinstance(event, Partition):
                    self._send(event, event.ready())
                elif event is not None and event.generation == self._generation:
                    self._fault = event.error
        except Exception as error:
            self._on_failure(error)

    def _send(self, partition: Partition, ready: list[Taken]) -> None:
        """Hand outcomes to the producer. A core that failed raises here, out of the future."""
        generation = self._generation
        for taken in ready:
            answer = to_answer(
                taken.record,
                taken.future.result(),
                output=self._settings.output,
                rejects=self._settings.rejects,
                partitions=self._topics.partitions,
                limits=self._topics.limits,
            )
            try:
                sent = self._producer.send(
                    answer.topic,
                    value=answer.value,
                    key=answer.key,
                    headers=answer.headers,
                    partition=answer.partition,
                )
            except KafkaError as error:
                self._fault = error  # what is left of `ready` counts as sent, and is sent again too
                return
            sent.add_callback(lambda _, taken=taken: self._acknowledged(partition, taken))
            sent.add_errback(lambda error: self._events.put(_Broken(generation, error)))

    def _acknowledged(self, partition: Partition, taken: Taken) -> None:
        self._rebuilds = 0
        partition.acknowledge(taken)
        self._on_acknowledged()

    def _watch(self) -> None:
        """kafka-python can lose sight of a partition's leader for good; silence is the only sign."""
        limit = time.monotonic() - SILENCE_SECONDS
        if any((since := partition.stalled_since) and since < limit for partition in self._partitions()):
            self._fault = TimeoutError(f"no acknowledgement for {SILENCE_SECONDS:.0f} s")

    def _rebuild(self, error: Exception) -> None:
        """Replace the producer and send again what was not acknowledged."""
        self._rebuilds += 1
        if isinstance(error, AuthorizationError) or self._rebuilds > REBUILDS_WITHOUT_PROGRESS:
            raise SetupError(f"Kafka at {self._settings.brokers} does not take outcomes: {error}") from error
        log.warning("outcomes were not delivered (%s): sending them again with a new producer", error)
        clients.discard(self._producer)
        self._producer = None
        self._fault = None
        self._generation += 1
        while not self._closing.is_set():
            try:
                self._connect()
                break
            except SetupError as problem:
                log.warning("%s; trying again", problem)
                self._closing.wait(RETRY_SECONDS)
        else:
            return
        for partition in self._partitions():
            if self._fault is None:
                self._send(partition, partition.resend())

    def _connect(self) -> None:
        self._topics = clients.describe(self._settings)
        self._producer = clients.open_producer(self._settings, self._topics)
