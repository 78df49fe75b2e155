"""Sends dead letters through again, each exactly once by one replay, however often that is stopped.

What is sent and how far the rejects topic was read become visible in one transaction. The replay's name is
its group and its transactional id: whoever starts it again ends what the run before left open, fences that
run should it live, and only then asks how far it came.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.errors import InvalidProducerEpochError, KafkaError, KafkaTimeoutError, ProducerFencedError

from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.answer import Answer
from assay.engine.doors.kafka.assignment import offsets
from assay.engine.doors.kafka.batches import Unreadable
from assay.engine.doors.kafka.letters import Letter, read_letter, replays, to_replay
from assay.engine.doors.kafka.settings import ReplaySettings
from assay.engine.errors import SetupError
from assay.engine.settings import MIB

log = logging.getLogger(__name__)

POLL_MS = 500
SILENT_POLLS = 120
TRANSACTION_BYTES = MIB  # of records, about: so that a transaction ends well within its timeout
TRANSACTION_LETTERS = 1000  # read, sent or not
WAIT_MS = 60_000
ABORT_MS = 2000


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters of `rejects` are sent again, and where to: those of `reasons` (empty: of any), from
    `since` and before `until` in milliseconds since 1970, whose record was sent again less than `most` times.
    They go where their record was, or to the topic `to`."""

    rejects: str
    reasons: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None
    to: str | None = None
    most: int = 3

    @property
    def name(self) -> str:
        """The same for the same choice alone."""
        words = (self.rejects, *sorted(self.reasons), self.since, self.until, self.to)
        return f"assay-replay-{hashlib.sha256(repr(words).encode()).hexdigest()[:12]}"

    def takes(self, letter: Letter) -> bool:
        """Whether it is one of those; `most` is not looked at."""
        time = letter.record.timestamp
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )


@dataclass(slots=True)
class Sums:
    """What became of the dead letters that were read."""

    sent: Counter[str] = field(default_factory=Counter)
    """By reason; in a dry run those that would be sent."""
    kept: Counter[str] = field(default_factory=Counter)
    """Chosen, but not sent, by why."""
    others: int = 0
    """Not chosen."""
    read: int = 0
    total: int = 0
    """That were there at the beginning, nearly: marks of transactions count, too."""


class Replay:
    """One run. `name` names the replay, by default after what is chosen."""

    def __init__(self, settings: ReplaySettings, choice: Choice, name: str | None = None) -> None:
        self._settings = settings
        self._choice = choice
        self.name = name or choice.name
        self.sums = Sums()
        self._topics: dict[str, clients.Topics] = {}
        self._producer: Any = None
        self._opened: Set[str] = frozenset()
        """Topics whose limits the producer knows."""
        self._begun = False
        self._reader: Any = None
        self._originals: Any = None

    def run(self, dry: bool = False, shown: Callable[[Sums], object] = lambda sums: None) -> Sums:
        """Send what is chosen of all that is in the topic now; with `dry`, only count it. `shown` is called
        with the sums after each transaction.

        Raises:
            SetupError: brokers are missing or refuse us, a topic is missing, or another run took over.
        """
        try:
            self._find(self._settings.rejects)
            if self._choice.to:
                self._find(self._choice.to)
            if not dry:
                self._open()
            self._reader = clients.open_reader(self._settings)
            for part in self._parts(self._ends()):
                answers = [answer for record in part if (answer := self._read(record, dry))]
                if not dry:
                    self._transaction(answers, part)
                shown(self.sums)
            return self.sums
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise SetupError(f"another run of replay {self.name} has taken over, which goes on") from error
        except KafkaError as error:
            raise SetupError(
                f"Kafka at {self._settings.brokers} ended replay {self.name}: {error or error!r};"
                " started again it goes on where it was"
            ) from error
        finally:
            self._close()

    def _find(self, topic: str) -> None:
        self._topics[topic] = clients.find_topics(self._settings, [topic])

    def _open(self) -> None:
        self._let_go()
        limits = {topic: found.limits[topic] for topic, found in self._topics.items()}
        self._producer = clients.open_transactional(self._settings, limits, self.name)
        self._opened = frozenset(limits)

    def _let_go(self) -> None:
        """A transaction that is left open would hold up readers until the brokers end it."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if self._begun:
            with suppress(KafkaError):
                result = producer._transaction_manager.begin_abort()
                producer._sender.wakeup()
                result.wait(ABORT_MS)
        clients.discard(producer)

    def _close(self) -> None:
        self._let_go()
        for reader in (self._reader, self._originals):
            if reader is not None:
                reader.close()

    def _ends(self) -> dict[TopicPartition, int]:
        """Where to end in each partition in which there is something to read; the reader stands where to
        begin."""
        rejects = self._settings.rejects
        names = [
            TopicPartition(rejects, number) for number in range(self._topics[rejects].partitions[rejects])
        ]
        self._reader.assign(names)
        begins = self._reader.beginning_offsets(names)
        ends = self._reader.end_offsets(names)
        for name, offset in clients.committed(self._settings, self.name, names).items():
            begins[name] = max(begins[name], offset)
        if self._choice.since is not None:
            found = self._reader.offsets_for_times(dict.fromkeys(names, self._choice.since))
            for name, first in found.items():
                begins[name] = max(begins[name], first.offset if first else ends[name])
        for name in names:
            self._reader.seek(name, begins[name])
        left = {name: ends[name] for name in names if begins[name] < ends[name]}
        self._reader.pause(*(set(names) - left.keys()))
        self.sums.total = sum(end - begins[name] for name, end in left.items())
        return left

    def _parts(self, ends: dict[TopicPartition, int]) -> Iterator[list[Any]]:
        """What is read before `ends`, in parts for one transaction each."""
        part: list[Any] = []
        size = silent = 0
        while ends:
            polled = self._reader.poll(timeout_ms=POLL_MS)
            for name, records in polled.items():
                for record in records:
                    if name in ends and record.offset < ends[name]:
                        part.append(record)
                        size += len(getattr(record, "value", None) or b"")
                        if size >= TRANSACTION_BYTES or len(part) >= TRANSACTION_LETTERS:
                            yield part
                            part, size = [], 0
            done = [name for name, end in ends.items() if self._reader.position(name) >= end]
            for name in done:
                del ends[name]
                self._reader.pause(name)
            silent = 0 if polled or done else silent + 1
            if silent > SILENT_POLLS:
                raise SetupError(
                    f"Kafka at {self._settings.brokers} went silent: replay {self.name}, started again,"
                    " goes on where it was"
                )
        if part:
            yield part

    def _read(self, record: Any, dry: bool) -> Answer | None:
        """What to send for a record of the rejects topic, if anything; counts it."""
        self.sums.read += 1
        if isinstance(record, Unreadable):
            return self._keep(record, "cannot be read", record.why)
        letter = read_letter(record)
        if letter is None:
            return self._keep(record, "no dead letter of Assay", "it has not the headers of one")
        if not self._choice.takes(letter):
            self.sums.others += 1
            return None
        whole = self._original(letter) if letter.omitted else record
        if whole is None:
            return self._keep(
                record, "not whole any more", "its record is gone from the topic that it came to"
            )
        if (times := replays(whole)) >= self._choice.most:
            return self._keep(record, "at the limit of replays", f"it was sent again {times} times")
        answer = None if dry else self._answer(letter, whole)
        if answer is None and not dry:
            return self._keep(
                record, "too large", "its topic's max.message.bytes leaves no room for its story"
            )
        self.sums.sent[letter.reason] += 1
        return answer

    def _keep(self, record: Any, what: str, why: str) -> Answer | None:
        """Count a record that is not sent -> None, which is what is sent for it."""
        self.sums.kept[what] += 1
        log.info("dead letter %s/%d/%d is not sent: %s", record.topic, record.partition, record.offset, why)
        return None

    def _answer(self, letter: Letter, whole: Any) -> Answer | None:
        topic = self._choice.to or letter.topic
        if topic == self._settings.rejects:
            raise SetupError(f"dead letters cannot be sent to {topic}, the topic that they are read from")
        if topic not in self._topics:
            self._find(topic)
        found = self._topics[topic]
        return to_replay(
            letter, whole, topic, found.partitions[topic], found.limits[topic], self._settings.id_header
        )

    def _original(self, letter: Letter) -> Any:
        """The record that a dead letter lacks something of, from where it was; None where it is gone."""
        if self._originals is None:
            self._originals = clients.open_reader(self._settings)
        name = TopicPartition(letter.topic, letter.partition)
        if letter.partition not in (self._originals.partitions_for_topic(letter.topic) or ()):
            return None
        self._originals.assign([name])
        if not (
            self._originals.beginning_offsets([name])[name]
            <= letter.offset
            < self._originals.end_offsets([name])[name]
        ):
            return None
        self._originals.seek(name, letter.offset)
        for _ in range(SILENT_POLLS):
            if records := self._originals.poll(timeout_ms=POLL_MS, max_records=1).get(name):
                first = records[0]
                found = first.offset == letter.offset and not isinstance(first, Unreadable)
                return first if found and letter.is_of(first) else None
        return None

    def _transaction(self, answers: list[Answer], part: list[Any]) -> None:
        if any(answer.topic not in self._opened for answer in answers):
            self._open()
        producer = self._producer
        producer.begin_transaction()
        self._begun = True
        sent = [
            producer.send(
                answer.topic,
                value=answer.value,
                key=answer.key,
                headers=answer.headers,
                partition=answer.partition,
            )
            for answer in answers
        ]
        producer.flush(WAIT_MS / 1000)
        for one in sent:
            one.get(0)
        positions = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in part}
        manager = producer._transaction_manager
        self._wait(manager.send_offsets_to_transaction(offsets(positions), self.name))
        self._wait(manager.begin_commit())
        self._begun = False

    def _wait(self, result: Any) -> None:
        """The producer's own methods wait without an end."""
        self._producer._sender.wakeup()
        if not result.wait(WAIT_MS):
            raise KafkaTimeoutError(f"a transaction came to no end in {WAIT_MS // 1000} s")
