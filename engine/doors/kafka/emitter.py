"""Sends outcomes, each partition's in offset order, and does not rest until every one is acknowledged.

kafka-python's producers do not survive an error that is not retriable: all later sends fail. So after any
failure the producer is thrown away, a new one is made, and what was not acknowledged is sent again, in order.
One thread does all of it; the core's threads only tell it where to look.

What the brokers refuse for its own sake is made smaller, or left out, before the rest is sent again.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from kafka.errors import (
    AuthorizationError,
    InvalidRecordError,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from assay.engine import telemetry
from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.answer import Answer, to_answer
from assay.engine.doors.kafka.assignment import Assignment
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.doors.kafka.records import Unanswerable, place
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import SetupError

log = logging.getLogger(__name__)

SILENCE_SECONDS = 75.0  # above the producer's own delivery timeout
RETRY_SECONDS = 1.0
REBUILDS_WITHOUT_PROGRESS = 5

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)  # of one record: batches of more are split
INVALID = (InvalidRecordError, InvalidTimestampError)


@dataclass(frozen=True, slots=True)
class Broken:
    """The producer of a generation failed to deliver."""

    generation: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that the brokers do not take, whatever else is sent."""

    partition: Partition
    taken: Taken
    answer: Answer
    error: Exception


class Emitter:
    """Owns the producer. `on_failure` is told what cannot be mended, and `on_halt` what stops one partition:
    the record that it stands at, and why.

    `on_acknowledged` runs after each acknowledgement, in a thread of the emitter or of the producer, and must
    not block. How outcomes are sent is for the class that derives from this one.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        assignment: Assignment,
        on_acknowledged: Callable[[], None],
        on_failure: Callable[[Exception], None],
        on_halt: Callable[[SetupError], None],
    ) -> None:
        self._settings = settings
        self._assignment = assignment
        self._on_acknowledged = on_acknowledged
        self._on_failure = on_failure
        self._on_halt = on_halt
        self._events: SimpleQueue[Partition | Broken | None] = SimpleQueue()
        self._closing = threading.Event()
        self._generation = 0
        self._rebuilds = 0
        self._fault: Exception | None = None
        self._refused: Refused | None = None  # the first that the present producer met
        self._caps: dict[str, tuple[int, int]] = {}  # topic -> its limit, and what it takes in truth
        self._producer: Any = None
        self._topics: clients.Topics  # as the cluster says
        self._limits: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="kafka-emitter", daemon=True)

    def start(self) -> None:
        """Connect, and begin.

        Raises:
            SetupError: no broker answers, it refuses us, or a topic is missing.
        """
        self._connect()
        self._thread.start()

    def resume(self) -> None:
        """Begin, and connect as soon as the brokers let it: who was a member before waits for them."""
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
        self._let_go()

    # What a way of delivery is:

    def _open(self) -> Any:
        """A producer."""
        raise NotImplementedError

    def _send(self, partition: Partition) -> None:
        """There may be something new to send of `partition`. Notes in `_fault` what fails."""
        raise NotImplementedError

    def _watch(self) -> None:
        """Called about once a second while there is nothing new."""
        raise NotImplementedError

    def _resume(self) -> None:
        """There is a new producer: send again what was sent and not acknowledged.

        Raises:
            SetupError: this cannot be done now; it is tried again with another producer.
        """
        raise NotImplementedError

    # All that follows runs in the emitter's thread.

    def _run(self) -> None:
        try:
            if self._producer is None:
                self._reconnect()
            while not self._closing.is_set():
                if self._fault is not None:
                    self._rebuild(self._fault)
                try:
                    event = self._events.get(timeout=RETRY_SECONDS)
                except Empty:
                    self._watch()
                    continue
                if isinstance(event, Partition):
                    self._send(event)
                elif event is not None and event.generation == self._generation:
                    self._fault = event.error
        except Exception as error:
            self._on_failure(error)

    def _answer(self, partition: Partition, taken: Taken) -> Answer | None:
        """What to send for `taken`; None where nothing can be, which is dealt with. A core that failed raises
        here, out of the future."""
        try:
            return to_answer(
                taken.record,
                taken.future.result(),
                output=self._settings.output,
                rejects=self._settings.rejects,
                partitions=self._topics.partitions,
                limits=self._limits,
                source=self._settings.cloudevents_source,
                context=[] if taken.trace is None else taken.trace.headers(),
            )
        except Unanswerable as error:
            self._leave(partition, taken, str(error))
            return None

    def _leave(self, partition: Partition, taken: Taken, why: str) -> None:
        """No answer can be sent to a record: pass it, or stop its partition there, as the settings say."""
        name = place(taken.record)
        telemetry.KAFKA_UNANSWERED.labels(taken.record.topic).inc()
        if self._settings.skip_unanswerable:
            log.error("record %s gets no outcome: %s", name, why, extra={"image": name})
            self._acknowledged(partition, taken)
            return
        partition.halt(taken)
        self._on_halt(
            SetupError(
                f"record {name} of Kafka at {self._settings.brokers} gets no outcome: {why}. To go on without"
                " one, set skip_unanswerable of [kafka], or ASSAY_KAFKA_SKIP_UNANSWERABLE=true"
            )
        )

    def _acknowledged(self, partition: Partition, taken: Taken) -> None:
        self._rebuilds = 0
        partition.acknowledge(taken)
        self._on_acknowledged()

    def _rebuild(self, error: Exception) -> None:
        """Replace the producer and send again what was not acknowledged."""
        self._let_go()
        self._generation += 1  # so nothing is noted in `_refused` from here on
        refused, self._refused = self._refused, None
        self._rebuilds = 0 if refused else self._rebuilds + 1
        if isinstance(error, AuthorizationError) or self._rebuilds > REBUILDS_WITHOUT_PROGRESS:
            raise SetupError(f"Kafka at {self._settings.brokers} does not take outcomes: {error}") from error
        log.warning("outcomes were not delivered (%s): sending them again with a new producer", error)
        if refused:
            self._mend(refused)
        self._reconnect()

    def _reconnect(self) -> None:
        """Connect, however long that takes, and send again what was not acknowledged."""
        self._fault = None
        while not self._closing.is_set():
            try:
                self._connect()
                self._resume()
                return
            except SetupError as problem:
                log.warning("%s; trying again", problem)
                self._let_go()
                self._closing.wait(RETRY_SECONDS)

    def _mend(self, refused: Refused) -> None:
        topic = refused.answer.topic
        if isinstance(refused.error, TOO_LARGE):
            # Something else than max.message.bytes decides, or that was lowered, which `_connect` will see.
            self._caps[topic] = self._topics.limits[topic], refused.answer.size // 2
        else:
            why = f"topic {topic} does not take the answer to it ({refused.error})"
            self._leave(refused.partition, refused.taken, why)

    def _connect(self) -> None:
        self._topics = clients.describe(self._settings)
        self._limits = dict(self._topics.limits)
        for topic, (limit, cap) in self._caps.items():
            if self._limits[topic] == limit:
                self._limits[topic] = cap
        self._producer = self._open()

    def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            clients.discard(producer)
