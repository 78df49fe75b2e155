"""Groups that change while their members are at work, on the real broker."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka.admin import KafkaAdminClient, NewPartitions
from kafka.coordinator.base import BaseCoordinator
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.assignment import Assignment, Rebalance

MEMBER = """
import sys
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
bootstrap, topic, group = sys.argv[1:]
consumer = KafkaConsumer(
    topic, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False,
    session_timeout_ms=2000, heartbeat_interval_ms=500,
    partition_assignment_strategy=[RangePartitionAssignor],
)
while True:
    consumer.poll(timeout_ms=100)
    if consumer.assignment():
        consumer.pause(*consumer.assignment())
        print(len(consumer.assignment()), flush=True)
"""


@contextmanager
def member(topics: Topics) -> Iterator["subprocess.Popen[str]"]:
    """Another member of the group, in a process of its own that can be killed; it says when it owns something
    and scores nothing."""
    command = [sys.executable, "-c", MEMBER, topics.broker.bootstrap, topics.input, topics.group]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the members in this process asked to join."""
    asked: list[float] = []
    join = BaseCoordinator._do_join_and_sync_async

    def counted(coordinator: object) -> object:
        asked.append(time.monotonic())
        return join(coordinator)

    monkeypatch.setattr(BaseCoordinator, "_do_join_and_sync_async", counted)
    return asked


def test_a_join_that_outlasts_a_poll_is_finished_by_the_next(broker: Broker) -> None:
    """New partitions are found by this member itself, so no error of the broker makes it join again."""
    topics = Topics(broker, partitions=1).create()
    assignment = Assignment()
    consumer = clients.open_consumer(topics.settings())
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        listener = Rebalance(assignment, consumer, commits=lambda: False, resumed=lambda partition: None)
        consumer.subscribe([topics.input], listener=listener)
        for count in (1, 2, 3):
            if count > 1:
                admin.create_partitions({topics.input: NewPartitions(count)})
            deadline = time.monotonic() + 15
            while len(assignment.partitions()) < count:
                assert time.monotonic() < deadline, f"{len(assignment.partitions())} of {count} partitions"
                consumer.poll(timeout_ms=1)
    finally:
        admin.close()
        consumer.close()


def test_a_member_whose_window_is_full_joins_again_at_once(broker: Broker, joins: list[float]) -> None:
    topics = Topics(broker).create()
    topics.send([b"stuck %d" % n for n in range(30)])
    core = DisorderedCore()
    with serving(core, topics.settings(window=1)) as served:
        partitions = served.door._assignment.partitions
        wait_until(lambda: served.door._assignment.bytes > 0)
        with member(topics) as other:
            wait_until(lambda: 0 < len(partitions()) < 3, 60)
            other.kill()
            wait_until(lambda: len(partitions()) == 3, 60)
        wait_until(lambda: core.release() or topics.lag() == 0, 60)
        assert not served.failures
    assert len(joins) < 30  # measured: 4; ten a second where a finished join is not noticed


def test_a_member_that_drains_lets_another_join(broker: Broker, joins: list[float]) -> None:
    topics = Topics(broker).create()
    topics.send([b"stuck"] * 3)
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: len(core.taken) == 3)
        draining = threading.Thread(target=served.door.drain, args=(60,))
        draining.start()
        with member(topics) as other:
            assert other.stdout
            assert other.stdout.readline().strip() in ("1", "2")
            core.release()
            draining.join(30)
            assert not draining.is_alive()
        assert not served.failures
    assert len(joins) < 30
