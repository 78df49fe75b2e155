"""Exactly once: outcomes and the offsets of what they answer become visible together, in one transaction.

One transaction at a time, of all that is ready, so each partition's outcomes are in offset order. Offsets go
with the membership under which their partitions are owned: when the group has moved on, brokers refuse them,
and with them the transaction. Whether one took effect whose end was not heard, the committed offsets say.
"""

import logging
import time
import uuid
from collections.abc import Callable
from queue import Empty
from typing import Any

from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    UnknownError,
)

from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.answer import Answer
from assay.engine.doors.kafka.assignment import Owned, offsets
from assay.engine.doors.kafka.emitter import INVALID, SILENCE_SECONDS, TOO_LARGE, Emitter, Refused
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.errors import SetupError
from assay.engine.settings import MIB

log = logging.getLogger(__name__)

TRANSACTION_BYTES = MIB  # of answers, about: so that a transaction ends well within its timeout
HEAR_SECONDS = 0.1  # in which a wait hears that the end is near
ABORT_MS = 2000

FENCED = (InvalidProducerEpochError, ProducerFencedError)

Part = tuple[Partition, Taken, Answer]


class Ended(Exception):
    """The door was closed in the middle of a transaction."""


class TransactionEmitter(Emitter):
    """Owns the transactions, and commits all offsets of this member."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # A member with a name of its own ends, when it starts again, what it left open when it was killed.
        self._id = self._named(self._settings.instance)
        self._over: Any = None  # a membership that the group has moved on from
        self._begun = False

    def _open(self) -> Any:
        return clients.open_transactional(self._settings, self._limits, self._id)

    def _send(self, partition: Partition) -> None:
        try:
            while True:  # a transaction takes all that is ready, so who else asks for one has it
                event = self._events.get_nowait()
                if event is None:
                    return
        except Empty:
            self._transact()

    def _watch(self) -> None:
        self._transact()  # where nothing is ready there may be offsets alone

    def _resume(self) -> None:
        """Those sent outcomes that a transaction has made visible all the same count as acknowledged."""
        unsure = {
            name: partition
            for name, partition in self._assignment.partitions().items()
            if not partition.settled
        }
        for name, offset in clients.committed(self._settings, self._settings.group, unsure).items():
            unsure[name].acknowledge_before(offset)
            unsure[name].committed = offset
        self._on_acknowledged()
        for partition in self._assignment.partitions().values():
            self.notify(partition)

    def _transact(self) -> None:
        """One transaction after the other until nothing is ready."""
        while not self._closing.is_set() and self._fault is None:
            owned = self._assignment.owned
            if owned.membership == self._over:
                return
            parts = self._gather(owned)
            positions = owned.uncommitted()
            names = {partition: name for name, partition in owned.partitions.items()}
            positions |= {names[partition]: taken.record.offset + 1 for partition, taken, _ in parts}
            if not positions:
                return
            try:
                self._transaction(owned, parts, positions)
            except Ended:
                return
            except (KafkaError, TimeoutError) as error:
                self._failed(owned, error)
                return
            for partition, taken, _ in parts:
                self._acknowledged(partition, taken)
            owned.committed(positions)

    def _gather(self, owned: Owned) -> list[Part]:
        """What is ready, each partition's in offset order, one after the other from each."""
        parts: list[Part] = []
        size = 0
        for partition in owned.partitions.values():  # of a transaction that failed
            size += self._add(parts, partition, partition.resend())
        partitions = list(owned.partitions.values())
        while partitions and size < TRANSACTION_BYTES:
            partition = partitions.pop(0)
            if ready := partition.ready(most=1):
                size += self._add(parts, partition, ready)
                partitions.append(partition)
        return parts

    def _add(self, parts: list[Part], partition: Partition, ready: list[Taken]) -> int:
        size = 0
        for taken in ready:
            answer = self._answer(partition, taken)
            if answer is not None:
                parts.append((partition, taken, answer))
                size += answer.size
            elif partition.halted:
                break
        return size

    def _transaction(self, owned: Owned, parts: list[Part], positions: dict[Any, int]) -> None:
        """Begin, send, and commit; with whatever is raised here it is unknown whether it took effect."""
        producer, manager = self._producer, self._producer._transaction_manager
        producer.begin_transaction()
        self._begun = True
        self._produce(producer, parts)
        self._wait(manager.send_offsets_to_transaction(offsets(positions), owned.membership))
        self._wait(manager.begin_commit())
        self._begun = False

    def _produce(self, producer: Any, parts: list[Part]) -> None:
        """Send, and wait until all has arrived or failed. What fails behind a refused answer does so with its
        error, and `send` raises at once: to blame is the one that failed first, wherever it stands."""
        failed: list[Refused] = []  # in the order in which the brokers said so
        raised: KafkaError | None = None
        try:
            for partition, taken, answer in parts:
                producer.send(
                    answer.topic,
                    value=answer.value,
                    key=answer.key,
                    headers=answer.headers,
                    partition=answer.partition,
                ).add_errback(
                    lambda error, partition=partition, taken=taken, answer=answer: failed.append(
                        Refused(partition, taken, answer, error)
                    )
                )
        except KafkaError as error:
            raised = error
        if parts:  # once fenced, kafka-python holds on to what it has not sent, until its delivery timeout
            self._until(lambda seconds: _flushed(producer, seconds) or bool(failed))
        self._refused = next((one for one in failed if isinstance(one.error, TOO_LARGE + INVALID)), None)
        if failed:
            raise failed[0].error
        if raised:
            raise raised

    def _wait(self, result: Any) -> None:
        """The producer's own methods wait without an end."""
        self._producer._sender.wakeup()
        self._until(lambda seconds: result.wait(1000 * seconds))

    def _until(self, done: Callable[[float], bool]) -> None:
        deadline = time.monotonic() + SILENCE_SECONDS
        while not done(HEAR_SECONDS):
            if self._closing.is_set():
                raise Ended
            if time.monotonic() > deadline:
                raise TimeoutError(f"a transaction came to no end in {SILENCE_SECONDS:.0f} s")

    def _failed(self, owned: Owned, error: Exception) -> None:
        if isinstance(error, FencedInstanceIdError):
            raise SetupError(
                f"another member of group {self._settings.group} has the instance name"
                f" {self._settings.instance}: give each its own"
            ) from error
        if isinstance(error, FENCED):
            # By the brokers, when a transaction took too long, or by another with this member's name. To take
            # the id back would fence that one in turn; whose the name is the next transaction will show.
            self._id = self._named(None)
        if isinstance(error, CommitFailedError):
            self._over = owned.membership
            self._rebuilds = 0  # nobody's fault
        self._fault = error

    def _named(self, name: str | None) -> str:
        return f"{self._settings.group}-{name or uuid.uuid4().hex}"

    def _let_go(self) -> None:
        """A transaction that is left open would hold up readers until the brokers end it."""
        if self._begun and self._closing.is_set() and self._producer is not None:
            try:
                result = self._producer._transaction_manager.begin_abort()
                self._producer._sender.wakeup()
                result.wait(ABORT_MS)
            except KafkaError as error:
                log.info("a transaction was not ended, the brokers will: %s", error)
        self._begun = False
        super()._let_go()


def _flushed(producer: Any, seconds: float) -> bool:
    try:
        producer.flush(seconds)
    except (KafkaTimeoutError, UnknownError):  # the second of a batch that was split meanwhile
        return False
    return True
