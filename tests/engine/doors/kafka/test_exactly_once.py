"""Exactly once on the real broker: whatever happens in a transaction, readers find one outcome an input."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaError
from kafka.producer.transaction_manager import EndTxnHandler, TransactionManager
from support.kafka import DisorderedCore, Topics, producer, serving, wait_until
from support.kafka_member import STAGES, member

from assay.bench.broker import Broker
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings, clients
from assay.engine.errors import SetupError

VALUES = [b"bad %d" % n if n % 5 == 2 else b"image %d" % n for n in range(60)]


@pytest.fixture
def topics(broker: Broker) -> Topics:
    return Topics(broker).create()


def exactly_once(topics: Topics, **changed: Any) -> KafkaSettings:
    return topics.settings(delivery="exactly-once", **changed)


def once(method: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, but `instead` at its first call."""
    first = [instead]

    def changed(*args: Any, **named: Any) -> Any:
        return (first.pop() if first else method)(*args, **named)

    return changed


def test_a_member_killed_at_each_stage_of_a_transaction(topics: Topics) -> None:
    sent = topics.send(VALUES)
    settings = exactly_once(topics, instance="one")  # so that the next takes over at once
    for stage in STAGES:
        with member(settings, stage, "5") as process:
            assert process.wait(60) == -9
    done = sum(topics.committed().values())
    assert len(STAGES) <= done < len(sent)  # some transactions have offsets alone
    with serving(DisorderedCore(), settings) as served:
        wait_until(lambda: topics.lag() == 0)
        assert not served.failures
    topics.check_exactly_once(sent)


def lose_the_answer(handler: EndTxnHandler, _: Any) -> None:
    handler.fatal_error(KafkaError("the answer was lost"))


def fail(*_: Any) -> None:
    raise KafkaError("it cannot be ended")


@pytest.mark.parametrize(
    ("kind", "method", "instead"),
    [
        (EndTxnHandler, "handle_response", lose_the_answer),  # the brokers have committed it
        (TransactionManager, "begin_commit", fail),
        pytest.param(TransactionManager, "send_offsets_to_transaction", fail, marks=pytest.mark.full),
        pytest.param(TransactionManager, "begin_transaction", fail, marks=pytest.mark.full),
    ],
)
def test_a_transaction_whose_end_is_not_heard(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, kind: type, method: str, instead: Callable[..., Any]
) -> None:
    with serving(DisorderedCore(), exactly_once(topics)) as served:
        wait_until(lambda: len(topics.committed()) == 3)
        monkeypatch.setattr(kind, method, once(getattr(kind, method), instead))
        sent = topics.send(VALUES)
        wait_until(lambda: topics.lag() == 0)
        assert not served.failures
        assert served.door._emitter._generation == 1
    topics.check_exactly_once(sent)


def test_a_producer_that_was_fenced_is_replaced(topics: Topics) -> None:
    """As the brokers do with one whose transaction took too long."""
    with serving(DisorderedCore(), exactly_once(topics)) as served:
        wait_until(lambda: len(topics.committed()) == 3)
        with producer(topics.broker, transactional_id=served.door._emitter._id) as newer:
            newer.init_transactions()
        sent = topics.send(VALUES)
        wait_until(lambda: topics.lag() == 0)
        assert not served.failures
        assert served.door._emitter._generation == 1
    topics.check_exactly_once(sent)


def test_a_member_that_the_group_has_moved_on_from_commits_nothing(topics: Topics) -> None:
    entered, go = threading.Event(), threading.Event()
    core = DisorderedCore()
    with serving(core, exactly_once(topics)) as first:
        wait_until(lambda: len(topics.committed()) == 3)
        manager = first.door._emitter._producer._transaction_manager
        send_offsets = manager.send_offsets_to_transaction

        def late(*args: Any) -> Any:
            entered.set()
            assert go.wait(60)
            return send_offsets(*args)

        manager.send_offsets_to_transaction = late
        sent = topics.send(VALUES)
        assert entered.wait(30)
        wait_until(lambda: len(core.taken) == len(sent))
        with serving(DisorderedCore(), exactly_once(topics)) as second:
            partitions = second.door._assignment.partitions
            wait_until(lambda: len(partitions()) > 0)
            theirs = [name.partition for name in partitions()]
            wait_until(lambda: all(topics.committed()[number] == 20 for number in theirs))
            assert sum(topics.committed().values()) == 20 * len(theirs)
            go.set()
            wait_until(lambda: topics.lag() == 0)
            assert not first.failures + second.failures
    topics.check_exactly_once(sent)


@pytest.mark.full
def test_two_members_of_one_name_end_the_older(topics: Topics) -> None:
    settings = exactly_once(topics, instance="one")
    with serving(DisorderedCore(), settings) as older:
        wait_until(lambda: len(topics.committed()) == 3)
        with serving(DisorderedCore(), settings) as newer:
            wait_until(lambda: len(newer.door._assignment.partitions()) == 3)
            sent = topics.send(VALUES)
            wait_until(lambda: topics.lag() == 0)
            wait_until(lambda: bool(older.failures))
            assert not newer.failures
    assert "the instance name one" in str(older.failures)
    topics.check_exactly_once(sent)


def test_nothing_is_left_open_when_the_door_stops_in_a_transaction(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()

    class Never:
        def wait(self, timeout_ms: float) -> bool:
            entered.set()
            return False

    with serving(DisorderedCore(), exactly_once(topics)) as served:
        wait_until(lambda: len(topics.committed()) == 3)
        monkeypatch.setattr(TransactionManager, "send_offsets_to_transaction", lambda *_: Never())
        sent = topics.send(VALUES)
        assert entered.wait(30)
        served.door.stop()
        monkeypatch.undo()
        assert not served.failures
    with producer(topics.broker) as plain:  # readers would not get past an open transaction
        plain.send(topics.output, b"behind it", partition=0).get(10)
    assert [record.value for record in topics.answers()] == [b"behind it"]
    assert sum(topics.committed().values()) == 0
    assert len(sent) == topics.lag()


def test_brokers_that_do_not_fence_members_are_refused(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "FENCING", (99, 0))
    door = KafkaDoor(DisorderedCore(), exactly_once(topics))
    with pytest.raises(SetupError, match=r"older than 2\.5 .* set delivery of \[kafka\] to at-least-once"):
        door.start()
    door.stop()
