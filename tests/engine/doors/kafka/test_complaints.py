"""What is let through of what kafka-python and the door complain about."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import complaints
from assay.engine.doors.kafka.complaints import NEW_AGAIN_SECONDS, SECONDS, Rate, hidden, throttled

CLIENT = logging.getLogger("kafka.net.connection")
DOOR = logging.getLogger("assay.engine.doors.kafka.emitter")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for gate in complaints._gates.values():
        monkeypatch.setattr(gate, "_rate", Rate())


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from("abc")), max_size=60))
def test_one_a_second_of_those_that_repeat_and_all_are_counted(pauses: list[tuple[float, str]]) -> None:
    rate, now = Rate(), 0.0
    logged: list[tuple[float, str]] = []
    told = 0
    for pause, kind in pauses:
        now += pause
        left_out = rate.admit(("logger", kind), now)
        if left_out is not None:
            told += left_out
            logged.append((now, kind))
        else:
            assert now - logged[-1][0] < SECONDS
    seen: set[str] = set()
    for (before, _), (after, kind) in zip([(-10.0, ""), *logged], logged, strict=False):
        assert after - before >= SECONDS or kind not in seen
        seen.add(kind)
    last = rate.admit(("logger", "new"), now)
    assert last is not None
    assert len(logged) + told + last == len(pauses)


def test_a_kind_is_new_again_after_a_while() -> None:
    rate = Rate()
    assert rate.admit(("l", "a"), 0.0) == 0
    assert rate.admit(("l", "b"), NEW_AGAIN_SECONDS) == 0
    assert rate.admit(("l", "a"), NEW_AGAIN_SECONDS + 0.1) == 0
    assert rate.admit(("l", "a"), NEW_AGAIN_SECONDS + 0.2) is None
    for number in range(10 * complaints.KINDS):
        rate.admit(("l", str(number)), 0.0)
    assert len(rate._heard) <= complaints.KINDS


def test_complaints_are_thinned_out_and_news_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with throttled(), throttled():
        for number in range(100):
            CLIENT.error("node %s is lost", number)
            DOOR.warning(f"trying again, {number}")
            DOOR.info("assigned")
        try:
            raise OSError("it is broken")
        except OSError:
            CLIENT.exception("no luck")
    CLIENT.error("node 1 is lost")
    words = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    # Should the machine be slow, more seconds pass, and a line with each.
    assert words[:2] == ["node 0 is lost", "trying again, 0"]
    assert any(word.startswith("no luck: OSError('it is broken') (") for word in words)
    assert words[-1] == "node 1 is lost"
    assert len(words) < 100
    assert not any(record.exc_info for record in caplog.records)
    assert sum(record.getMessage() == "assigned" for record in caplog.records) == 100


def test_what_is_hidden_reaches_the_listener_alone(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    inside, done = threading.Barrier(2), threading.Barrier(2)

    def other() -> None:
        with hidden(listener):
            inside.wait(10)
            done.wait(10)

    thread = threading.Thread(target=other)
    with hidden(logging.NullHandler()):
        thread.start()
        inside.wait(10)
    CLIENT.error("one")  # the other thread still hides it, though it came later and we went first
    done.wait(10)
    thread.join()
    CLIENT.error("two")
    assert heard == ["one"]
    assert [record.getMessage() for record in caplog.records] == ["two"]
    assert logging.getLogger("kafka").propagate


@pytest.mark.full
def test_a_broker_that_is_away_costs_a_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    with Broker() as broker:
        topics = Topics(broker).create()
        with serving(DisorderedCore(), topics.settings()):
            wait_until(lambda: len(topics.committed()) == 3)
            caplog.clear()
            broker.kill()
            threading.Event().wait(10)
            lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) > 3
    kinds = len({(record.name, str(record.msg).partition("(")[0][:30]) for record in lines})
    seconds = lines[-1].created - lines[0].created
    assert len(lines) <= kinds + seconds + 1
    assert not any(record.exc_info for record in lines)
