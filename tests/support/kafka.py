"""What tests of the Kafka door need: topics on the real broker, records in and out, a core in disorder."""

import heapq
import json
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import RetriableError

from assay.bench.broker import Broker
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
from assay.engine.errors import AssayError, EngineFault
from assay.engine.item import Item
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict

LARGE = 33 << 20


class DisorderedCore:
    """Scores by looking at the bytes, each item after a random time of up to `delay` seconds, in any order.

    Data that starts with `bad` is undecodable. `budget` bounds the bytes inside, as the real core does; what
    starts with `stuck` is finished only once `release` was called. A worker holds each item, so none can be
    taken back, but for data that starts with `queued`: no worker ever comes to it.
    """

    def __init__(self, *, budget: int = 1 << 40, delay: float = 0.02, seed: int = 0) -> None:
        self.budget = budget
        self.delay = delay
        self.used = 0
        self.peak = 0
        self.taken: list[Item] = []
        self.fault: EngineFault | None = None
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, Item, Future[Outcome]]] = []
        self._stuck: list[tuple[Item, Future[Outcome]]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        if self.fault:
            raise self.fault
        futures: list[Future[Outcome]] = []
        with self._changed:
            for item in items:
                if self.used and self.used + len(item.data) > self.budget:
                    break
                self.used += len(item.data)
                self.peak = max(self.peak, self.used)
                self.taken.append(item)
                futures.append(Future())
                if item.data.startswith(b"queued"):
                    continue
                futures[-1].set_running_or_notify_cancel()
                if item.data.startswith(b"stuck"):
                    self._stuck.append((item, futures[-1]))
                else:
                    due = time.monotonic() + self.delay * self._random.random()
                    heapq.heappush(self._due, (due, len(self.taken), item, futures[-1]))
            self._changed.notify()
        return futures

    def release(self) -> None:
        with self._changed:
            stuck, self._stuck = self._stuck, []
        for item, future in stuck:
            self._finish(item, future)

    def break_down(self) -> None:
        """The last worker is lost: what is stuck raises an engine fault, and nothing more is taken."""
        self.fault = EngineFault("no worker is left")
        for _, future in self._stuck:
            future.set_exception(self.fault)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, _, item, future = heapq.heappop(self._due)
            self._finish(item, future)

    def _finish(self, item: Item, future: Future[Outcome]) -> None:
        with self._changed:
            self.used -= len(item.data)
        future.set_result(judge(item))


def judge(item: Item) -> Outcome:
    """What `DisorderedCore` makes of an item."""
    if not item.data:
        return Rejection(item.id, Reason.EMPTY, "there are no bytes")
    if item.data.startswith(b"bad"):
        return Rejection(item.id, Reason.UNDECODABLE, "bad bytes: Straße 🙂")
    return Verdict(item.id, Label.AUTHENTIC, 0.25, {"stub": -1.0}, "stub", "1.0.0")


def place(record: Any) -> tuple[int, int]:
    """Partition and offset of the input record that this output record answers."""
    headers = dict(record.headers)
    if "assay.offset" in headers:
        return int(headers["assay.partition"]), int(headers["assay.offset"])
    _, partition, offset = json.loads(record.value)["id"].split("/")
    return int(partition), int(offset)


@dataclass
class Topics:
    """Three topics of one test on the shared broker, and the group that reads the first."""

    broker: Broker
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    partitions: int = 3

    def create(self, rejects: Mapping[str, str] | None = None) -> "Topics":
        own = dict.fromkeys((self.input, self.output), self.partitions)
        self.broker.create_topics(own)
        self.broker.create_topics({self.rejects: self.partitions}, rejects)
        return self

    @property
    def input(self) -> str:
        return f"{self.name}-in"

    @property
    def output(self) -> str:
        return f"{self.name}-out"

    @property
    def rejects(self) -> str:
        return f"{self.name}-rejects"

    @property
    def group(self) -> str:
        return f"{self.name}-group"

    def settings(self, **changed: Any) -> KafkaSettings:
        return KafkaSettings(
            **{
                "brokers": self.broker.bootstrap,
                "input": self.input,
                "output": self.output,
                "rejects": self.rejects,
                "group": self.group,
                **changed,
            }
        )

    def send(self, values: Iterable[bytes | None], **record: Any) -> list[tuple[int, int]]:
        """Send values to the input, spread over its partitions -> (partition, offset) of each."""
        with producer(self.broker) as sender:
            futures = [
                sender.send(self.input, value, **{"partition": number % self.partitions, **record})
                for number, value in enumerate(values)
            ]
            sender.flush(60)
        return [(sent.get(0).partition, sent.get(0).offset) for sent in futures]

    def read(self, topic: str) -> list[Any]:
        """All records that the topic holds now."""
        with consumer(self.broker) as reader:
            names = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
            reader.assign(names)
            ends = reader.end_offsets(names)
            reader.seek_to_beginning(*names)
            found: list[Any] = []
            while any(reader.position(name) < end for name, end in ends.items()):
                for records in reader.poll(timeout_ms=200).values():
                    found.extend(records)
        return found

    def answers(self) -> list[Any]:
        """All records of both topics that are written."""
        return self.read(self.output) + self.read(self.rejects)

    def open_transactions(self) -> bool:
        """Whether a member that was killed left one that the brokers have not ended: what is committed behind
        its records is not read before."""
        with (
            consumer(self.broker) as reader,
            consumer(self.broker, isolation_level="read_uncommitted") as all_,
        ):
            names = [
                TopicPartition(topic, number)
                for topic in (self.output, self.rejects)
                for number in reader.partitions_for_topic(topic)
            ]
            return bool(reader.end_offsets(names) != all_.end_offsets(names))

    def check_exactly_once(self, sent: Iterable[tuple[int, int]]) -> None:
        """Whoever reads what is committed finds one outcome for each input, in the order of its partition."""
        wait_until(lambda: not self.open_transactions(), 60)
        topics = [self.read(topic) for topic in (self.output, self.rejects)]
        assert Counter(place(record) for topic in topics for record in topic) == Counter(sent)
        for topic in topics:
            order: dict[int, list[int]] = defaultdict(list)
            for record in topic:
                partition, offset = place(record)
                assert record.partition == partition
                order[partition].append(offset)
            assert all(offsets == sorted(offsets) for offsets in order.values())

    def committed(self) -> dict[int, int]:
        """Committed offset by partition, of those that have one."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        try:
            found = admin.list_group_offsets(self.group)
        except RetriableError:  # a new broker is still making the topic of all offsets
            return {}
        finally:
            admin.close()
        offsets = found.get(self.group, found)
        return {name.partition: meta.offset for name, meta in offsets.items() if meta.offset >= 0}

    def lag(self) -> int:
        with consumer(self.broker) as reader:
            names = [TopicPartition(self.input, number) for number in range(self.partitions)]
            ends = reader.end_offsets(names)
        committed = self.committed()
        return sum(end - committed.get(name.partition, 0) for name, end in ends.items())


@contextmanager
def producer(broker: Broker, **options: Any) -> Iterator[Any]:
    made = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=LARGE, **options)
    try:
        yield made
    finally:
        made.close(10)


@contextmanager
def consumer(broker: Broker, **options: Any) -> Iterator[Any]:
    made = KafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=LARGE,
        **{"isolation_level": "read_committed", **options},
    )
    try:
        yield made
    finally:
        made.close()


@contextmanager
def serving(core: Any, settings: KafkaSettings) -> Iterator["Served"]:
    """A started door, stopped at the end."""
    failures: list[AssayError] = []
    door = KafkaDoor(core, settings)
    door.on_failure(failures.append)
    door.start()
    try:
        yield Served(door, failures)
    finally:
        door.stop()


@dataclass(frozen=True)
class Served:
    door: KafkaDoor
    failures: list[AssayError]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when `condition` holds, fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
