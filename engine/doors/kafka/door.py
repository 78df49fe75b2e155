"""The Kafka door: a member of a consumer group that answers each record of a topic with one outcome.

One thread owns the consumer: it polls, offers to the core, pauses and commits. Where the core's budget or the
door's own window is full it holds what it has polled, pauses all partitions and goes on polling, so that its
membership lives. Offsets are committed only behind outcomes that the broker has acknowledged (after a crash
an input may get a second outcome, never none), or by the emitter, in one transaction with their outcomes.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from assay.engine import telemetry
from assay.engine.core.together import soon
from assay.engine.doors.door import Door, DoorKind, Spread
from assay.engine.doors.kafka import clients, complaints
from assay.engine.doors.kafka.assignment import Assignment, Rebalance, offsets
from assay.engine.doors.kafka.intake import Core, Intake
from assay.engine.doors.kafka.partition import Partition
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.doors.kafka.stream import StreamEmitter
from assay.engine.doors.kafka.transactions import TransactionEmitter
from assay.engine.doors.kafka.watchdog import Watchdog
from assay.engine.errors import AssayError, SetupError
from assay.engine.outcome import Outcome

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
COMMIT_SECONDS = 0.5
COMMIT_TIMEOUT_MS = 5000
CLOSE_TIMEOUT_MS = 5000
HALT_SECONDS = 10.0
REOPEN_SECONDS = 1.0
OFFER = 64  # records offered to the core at once

NO_MEMBER = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
"""Errors of a commit while the group is rebalancing; the next poll says what became of the partitions."""


class KafkaDoor(Door):
    """Scores a topic's records with `core`. Made once, started once, and ended by `drain` or `stop`."""

    def __init__(self, core: Core, settings: KafkaSettings) -> None:
        self._settings = settings
        self._watchers: list[Callable[[AssayError], None]] = []
        self._assignment = Assignment()
        self._wake = threading.Event()  # something was finished or acknowledged, or the end is near
        self._stopping = threading.Event()
        self._drain_until: float | None = None
        self._leaving = threading.Event()  # a drain was asked for: the backlog is left to others
        self._failed = threading.Lock()
        self._log = ExitStack()
        self._commits = settings.delivery == "at-least-once"  # else the emitter does
        emitter = StreamEmitter if self._commits else TransactionEmitter
        self._emitter = emitter(settings, self._assignment, self._wake.set, self._fail, self._halt)
        self._intake = Intake(core, settings, self._wake.set, self._finished)
        self._open_consumer: Callable[[], Any] = lambda: clients.open_consumer(settings)
        self._thread = threading.Thread(target=self._run, name="kafka-consumer", daemon=True)

    def on_failure(self, callback: Callable[[AssayError], None]) -> None:
        """Have `callback` called once, from a thread of the door, when it had to stop: with the `EngineFault`
        of the core, or a `SetupError` where Kafka refuses to go on."""
        self._watchers.append(callback)

    def start(self) -> None:
        """Connect and begin to consume.

        Raises:
            SetupError: within 10 s, when no broker answers, it refuses us, or a topic is missing.
        """
        self._log.enter_context(complaints.throttled())
        self._emitter.start()
        self._thread.start()

    def resume(self) -> None:
        """`start` that lasts as long as brokers are away, in the background: the log says so meanwhile."""
        self._log.enter_context(complaints.throttled())
        self._open_consumer = self._reopened
        self._emitter.resume()
        self._thread.start()

    def drain(self, timeout: float) -> None:
        """Take nothing more, finish what workers hold, commit it, and leave the group.

        What no worker holds, and what is unfinished after `timeout` seconds, is left to the next member: it
        was not committed.
        """
        self._drain_until = time.monotonic() + timeout
        self._leaving.set()
        self._end()

    def stop(self) -> None:
        """Stop at once, commit nothing more, and leave the group."""
        self._stopping.set()
        self._end()

    def _end(self) -> None:
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._emitter.close()
        self._intake.close()
        self._log.close()

    def _halt(self, error: SetupError) -> None:
        """A partition stands at a record: all before it, and all of other partitions, is finished first."""
        self._drain_until = time.monotonic() + HALT_SECONDS
        self._wake.set()
        self._tell(error)

    def _fail(self, error: Exception) -> None:
        self._stopping.set()
        self._wake.set()
        if not isinstance(error, AssayError):
            log.error("the Kafka door failed", exc_info=error)
            error = SetupError(f"the Kafka door failed: {error!r}")
        self._tell(error)

    def _tell(self, error: AssayError) -> None:
        if self._failed.acquire(blocking=False):
            for callback in self._watchers:
                callback(error)

    def _partitions(self) -> Iterable[Partition]:
        return self._assignment.partitions().values()

    # All that follows runs in the consumer's thread.

    def _run(self) -> None:
        try:
            consumer = self._open_consumer()
            while consumer is not None and self._stalls(consumer):
                log.warning("the group did not answer: joining it again, with a new consumer")
                consumer = self._reopened()
        except KafkaError as error:
            kafka, group = self._settings.brokers, self._settings.group
            self._fail(SetupError(f"Kafka at {kafka} does not serve group {group}: {error}"))
        except Exception as error:
            self._fail(error)

    def _stalls(self, consumer: Any) -> bool:
        """Consume until the end of the door (False) or of the consumer, which is closed then."""
        heartbeat = consumer._coordinator.heartbeat
        watchdog = Watchdog(
            heard=lambda: max(heartbeat.last_receive, heartbeat.last_reset),
            reachable=lambda: clients.reachable(self._settings),
        )
        listener = Rebalance(
            self._assignment,
            consumer,
            commits=lambda: self._commits and not self._stopping.is_set(),
            resumed=self._emitter.notify,
        )
        try:
            consumer.subscribe([self._settings.input], listener=listener)
            return self._consume(consumer, watchdog)
        finally:
            consumer.close(timeout_ms=CLOSE_TIMEOUT_MS)

    def _reopened(self) -> Any:
        """A new consumer, which begins at what was committed; None where the door ends before that."""
        self._assignment.assign([])
        self._intake.clear()
        while not self._stopping.is_set() and not self._drained():
            try:
                return clients.open_consumer(self._settings)
            except SetupError as error:
                log.warning("%s; trying again", error)
                self._stopping.wait(REOPEN_SECONDS)
        return None

    def _consume(self, consumer: Any, watchdog: Watchdog) -> bool:
        """Until the end of the door (False), or until the watchdog finds the consumer stalled."""
        commit_at = 0.0
        while not self._stopping.is_set() and not self._drained():
            if self._leaving.is_set():
                self._give_back()
            self._regulate(consumer)
            # kafka-python forgets a join that is done between two polls, or while one has no time to wait
            # for it, and joins again; so as long as the group is rebalancing, wait in `poll` alone.
            joining = consumer._coordinator.need_rejoin()
            waiting = 0 if self._full() and not joining else POLL_SECONDS
            polled = self._polled(consumer, waiting)  # which may change what is assigned
            self._intake.hold(polled, self._assignment.partitions())
            self._offer_until(time.monotonic() + (0 if consumer._coordinator.need_rejoin() else POLL_SECONDS))
            if time.monotonic() >= commit_at:
                self._commit(consumer)
                self._report(consumer)
                commit_at = time.monotonic() + COMMIT_SECONDS
                if watchdog.stalled():
                    return True
        if not self._stopping.is_set():
            self._commit(consumer)
            if self._assignment.busy:
                log.warning("not all records were finished in time: the next member of the group gets them")
        return False

    def _polled(self, consumer: Any, seconds: float) -> dict[Any, list[Any]]:
        """What the next poll brings; nothing where brokers are away, which kafka-python may raise."""
        try:
            polled: dict[Any, list[Any]] = consumer.poll(timeout_ms=int(seconds * 1000))
            return polled
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("nothing was polled, trying again: %s", error)
            self._stopping.wait(POLL_SECONDS)
            return {}

    def _drained(self) -> bool:
        """Whether a drain was asked for and has come to its end."""
        if self._drain_until is None:
            return False
        return not self._assignment.busy or time.monotonic() > self._drain_until

    def _full(self) -> bool:
        """Whether nothing more may be polled."""
        if self._drain_until is not None or self._intake:
            return True
        return self._assignment.bytes + self._intake.reading >= self._settings.window

    def _give_back(self) -> None:
        """Leave to the next member what no worker holds; only once, as nothing is taken from here on."""
        self._leaving.clear()
        for partition in self._partitions():
            partition.give_back()
            self._emitter.notify(partition)  # it may have looked while there was nothing to see

    def _regulate(self, consumer: Any) -> None:
        if self._full():
            consumer.pause(*(consumer.assignment() - consumer.paused()))
        else:
            consumer.resume(*consumer.paused())

    def _offer_until(self, deadline: float) -> None:
        """Offer what is held, again whenever room was made, until all is taken or the next poll is due."""
        while not self._stopping.is_set() and not self._drained():
            self._wake.clear()
            if self._drain_until is not None:
                self._intake.clear()
            self._intake.offer()
            left = deadline - time.monotonic()
            if left <= 0 or not self._full():
                return
            self._wake.wait(left)

    def _finished(self, partition: Partition, _: Future[Outcome]) -> None:
        """Called by a thread of the core."""
        soon(self._emitter.notify, partition)
        soon(self._wake.set)

    def _commit(self, consumer: Any) -> None:
        owned = self._assignment.owned
        try:
            self._pass_idle(consumer)
            if self._commits and (positions := owned.uncommitted()):
                consumer.commit(offsets(positions), timeout_ms=COMMIT_TIMEOUT_MS)
                owned.committed(positions)
        except NO_MEMBER as error:
            log.info("offsets were not committed, the group is rebalancing: %s", error)
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("offsets were not committed, trying again: %s", error)

    def _report(self, consumer: Any) -> None:
        telemetry.KAFKA_HELD.set(self._assignment.bytes)
        telemetry.KAFKA_LAG.clear()  # partitions that are another member's now are no longer ours to report
        for name, records in self._assignment.lag(consumer.highwater).items():
            telemetry.KAFKA_LAG.labels(name.topic, name.partition).set(records)

    def _pass_idle(self, consumer: Any) -> None:
        """Where nothing is under way, commit what was polled. So lag ends at 0 although a topic ends with the
        marks of a transaction, and an idle group has offsets, which autoscalers look for."""
        if self._drain_until is not None:
            return
        waiting = self._intake.partitions()
        for name, partition in self._assignment.partitions().items():
            if not partition.busy and partition not in waiting:
                position = consumer.position(name, timeout_ms=0)
                if position is not None:
                    partition.skip_to(position)


def _part(settings: KafkaSettings, number: int, count: int) -> KafkaSettings:
    """Each is a member of the group, and they hold together what one would."""
    name = settings.instance and f"{settings.instance}-{number}"
    return settings.model_copy(update={"window": max(1, settings.window // count), "instance": name})


KIND = DoorKind(
    KafkaSettings,
    KafkaDoor,
    "BROKERS",
    {
        "brokers": ("--kafka", "Brokers, HOST:PORT, separated by commas."),
        "input": ("--in", "Topic of images."),
        "output": ("--out", "Topic of verdicts."),
        "rejects": ("--rejects", "Topic of rejected images."),
        "group": ("--group", "Consumer group."),
        "shadow_topic": ("--shadow-topic", "Topic of what the shadow bundle says."),
        "delivery": ("--delivery", "at-least-once (the default) or exactly-once."),
    },
    spread=Spread(KafkaDoor, _part),
)
