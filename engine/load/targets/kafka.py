"""Kafka: records to a topic, and their outcomes on two others."""

import json
import logging
import threading
import uuid
from functools import partial
from queue import SimpleQueue
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from assay.engine.doors.kafka import clients, complaints
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.load.images import Images
from assay.engine.load.target import Answer, Answered, Failure
from assay.engine.outcome import Outcome, Reason, Rejection, from_dict

POLL_MS = 100


class Kafka:
    """Sends to the topic `input` of a server, evenly to its partitions, and reads `output` and `rejects` from
    their present ends. Outcomes of other records are passed over.

    Raises SetupError where the brokers or topics are not there.
    """

    def __init__(self, settings: KafkaSettings, images: Images, holds: int) -> None:
        self.place = f"{settings.brokers}, topic {settings.input}"
        self.holds = holds
        self._images = images
        self._settings = settings
        self._run_id = uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._answered: dict[str, Answered] = {}
        self._closing = threading.Event()
        written = list(dict.fromkeys((settings.output, settings.rejects)))
        topics = clients.find_topics(settings, [settings.input, *written])
        self._partitions = topics.partitions[settings.input]
        self._reader = clients.open_reader(settings)
        ends = [TopicPartition(name, each) for name in written for each in range(topics.partitions[name])]
        self._reader.assign(ends)
        self._reader.seek_to_end(*ends)
        for end in ends:
            self._reader.position(end)  # looked up now, and not after the first image was answered
        self._producer = clients.open_producer(settings, {settings.input: topics.limits[settings.input]})
        self._waiting: SimpleQueue[int | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=run, name=f"assay-bench-{run.__name__}", daemon=True)
            for run in (self._send, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, number: int, answered: Answered) -> None:
        with self._lock:
            self._answered[self._id(number)] = answered
        self._waiting.put(number)

    def close(self) -> None:
        self._closing.set()
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        with complaints.hidden(logging.NullHandler()):
            clients.discard(self._producer)
            self._reader.close()

    def _id(self, number: int) -> str:
        return f"bench-{self._run_id}-{number}"

    def _send(self) -> None:
        """In a thread of its own: it blocks where the brokers take no more."""
        while (number := self._waiting.get()) is not None and not self._closing.is_set():
            id = self._id(number)
            header = [(self._settings.id_header, id.encode())]
            partition = number % self._partitions
            try:
                sent = self._producer.send(
                    self._settings.input, self._images[number], headers=header, partition=partition
                )
            except KafkaError as error:
                self._fail(id, error)
            else:
                sent.add_errback(partial(self._fail, id))

    def _fail(self, id: str, error: Exception) -> None:
        self._answer(id, Failure(type(error).__name__, f"a record could not be sent: {error}"))

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                polled = self._reader.poll(timeout_ms=POLL_MS)
            except KafkaError as error:
                self._fail_all(error)
                continue
            for records in polled.values():
                for record in records:
                    if outcome := _outcome(record, self._settings.id_header):
                        self._answer(outcome.id, outcome)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            left, self._answered = self._answered, {}
        for answered in left.values():
            answered(Failure(type(error).__name__, f"outcomes cannot be read: {error}"))

    def _answer(self, id: str, answer: Answer) -> None:
        with self._lock:
            answered = self._answered.pop(id, None)
        if answered:
            answered(answer)


def _outcome(record: Any, id_header: str) -> Outcome | None:
    """What a record of either topic says, None where it is no outcome."""
    headers = dict(record.headers)
    try:
        if "assay.reason" in headers:
            id, detail = (headers[name].decode() for name in (id_header, "assay.detail"))
            return Rejection(id, Reason(headers["assay.reason"].decode()), detail)
        return from_dict(json.loads(record.value))
    except (KeyError, TypeError, ValueError):
        return None
