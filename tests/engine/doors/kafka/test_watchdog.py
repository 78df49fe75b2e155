"""A member whose consumer does not come back by itself joins again with a new one."""

from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.base import BaseCoordinator
from kafka.errors import KafkaConnectionError
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.consumer import JoinGroupRequest
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import clients, watchdog
from assay.engine.doors.kafka.watchdog import STALL_SECONDS, Watchdog
from assay.engine.errors import SetupError

VALUES = [b"image %d" % n for n in range(30)]


@pytest.fixture
def topics(broker: Broker) -> Topics:
    return Topics(broker).create()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The consumers that doors open; who hears nothing for a second is stalled."""
    consumers: list[Any] = []
    open_consumer = clients.open_consumer

    def noted(settings: Any) -> Any:
        consumers.append(open_consumer(settings))
        return consumers[-1]

    monkeypatch.setattr(clients, "open_consumer", noted)
    monkeypatch.setattr(clients, "SESSION_MS", 2000)
    monkeypatch.setattr(clients, "HEARTBEAT_MS", 100)
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 1.0)
    return consumers


@pytest.fixture
def swallow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """When called: the next answer to a request to join never comes."""
    due: list[bool] = []
    send = KafkaConnectionManager.send

    def deaf(self: Any, request: Any, *args: Any, **named: Any) -> Any:
        answer = send(self, request, *args, **named)
        return Future() if isinstance(request, JoinGroupRequest) and due and due.pop() else answer

    monkeypatch.setattr(KafkaConnectionManager, "send", deaf)
    return lambda: due.append(True)


def test_the_answer_to_a_join_under_load_is_lost(
    topics: Topics, opened: list[Any], swallow: Callable[[], None]
) -> None:
    settings = topics.settings(delivery="exactly-once")
    core = DisorderedCore()
    with serving(core, settings) as first:
        sent = topics.send([b"stuck", *VALUES])
        wait_until(lambda: len(core.taken) == len(sent))
        swallow()
        opened[0]._coordinator.request_rejoin()
        wait_until(lambda: len(opened) > 1)
        wait_until(lambda: len(core.taken) > len(sent))
        wait_until(lambda: core.release() or topics.lag() == 0)  # type: ignore[func-returns-value]
        assert not first.failures
    topics.check_exactly_once(sent)


def test_heartbeats_have_ended(topics: Topics, opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins them again, and where the emitter commits nobody tells the consumer that it is out."""
    beat, ended = BaseCoordinator._do_heartbeat, []

    async def fail_once(self: Any) -> None:
        if not ended:
            ended.append(True)
            raise KafkaConnectionError("111 ECONNREFUSED")
        await beat(self)

    with serving(DisorderedCore(), topics.settings(delivery="exactly-once")) as served:
        wait_until(lambda: len(topics.committed()) == 3)
        monkeypatch.setattr(BaseCoordinator, "_do_heartbeat", fail_once)
        wait_until(lambda: len(opened) > 1)
        sent = topics.send(VALUES)
        wait_until(lambda: topics.lag() == 0)
        assert not served.failures
    topics.check_exactly_once(sent)


def test_a_poll_that_finds_no_broker_ends_nothing(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    poll, left = KafkaConsumer.poll, [3]

    def refused(self: Any, *args: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise KafkaConnectionError("111 ECONNREFUSED")
        return poll(self, *args, **named)

    sent = topics.send(VALUES)
    with serving(DisorderedCore(), topics.settings()) as served:
        with monkeypatch.context() as patch:
            patch.setattr(KafkaConsumer, "poll", refused)
            wait_until(lambda: topics.lag() == 0)
        assert not left[0]
        assert not served.failures
    topics.check_exactly_once(sent)


@pytest.mark.usefixtures("opened")
def test_the_answer_to_the_first_join_is_lost_and_brokers_are_away_for_a_moment(
    topics: Topics, swallow: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = clients.open_consumer
    outcomes = [None, SetupError("cannot use Kafka"), SetupError("cannot use Kafka"), None]

    def flaky(settings: Any) -> Any:
        if outcomes and (error := outcomes.pop(0)):
            raise error
        return again(settings)

    monkeypatch.setattr(clients, "open_consumer", flaky)
    sent = topics.send(VALUES)
    swallow()
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.lag() == 0)
        assert not outcomes
        assert not served.failures
    topics.check_exactly_once(sent)


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_drain_ends_while_no_consumer_can_be_opened(
    topics: Topics,
    opened: list[Any],
    swallow: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    delivery: str,
) -> None:
    tries: list[bool] = []
    again = clients.open_consumer

    def never(settings: Any) -> Any:
        tries.append(True)
        if len(tries) > 1:
            raise SetupError("cannot use Kafka")
        return again(settings)

    monkeypatch.setattr(clients, "open_consumer", never)
    swallow()
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: len(tries) > 1)
        served.door.drain(30)
        assert not served.failures


def test_silence_counts_only_while_brokers_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    now, heard, asked = [1000.0], [0.0], [0]
    reachable = [False]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])

    def ask() -> bool:
        asked[0] += 1
        return reachable[0]

    dog = Watchdog(lambda: heard[0], ask)

    def after(seconds: float) -> bool:
        now[0] += seconds
        return dog.stalled()

    assert not after(STALL_SECONDS - 1)
    heard[0] = now[0]
    assert not after(STALL_SECONDS - 1)
    assert asked == [0]
    assert not after(2)
    assert asked == [1]  # brokers are away
    reachable[0] = True
    assert not after(STALL_SECONDS - 1)
    assert asked == [1]
    assert after(2)
