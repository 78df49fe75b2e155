"""What one end of a link has to say: sent in order, by a thread that may wait."""

import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from assay.engine.fronts.outbox import Outbox
from assay.engine.worker.channel import Channel


class End:
    """One end with an outbox over what a test puts into `waiting`; `far` is the other end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.channel, self.far = Channel(ours), Channel(theirs)
        self.waiting: deque[dict[str, Any]] = deque()
        self.again: float | None = None
        self.outbox = Outbox(self.channel, self.gather, lambda: self.again)

    def gather(self) -> dict[str, Any]:
        return self.waiting.popleft() if self.waiting else {}

    def say(self, **message: Any) -> None:
        self.waiting.append(message)
        self.outbox.notify()

    def close(self) -> None:
        self.outbox.close()
        self.channel.close()
        self.far.close()


@pytest.fixture
def end() -> Iterator[End]:
    made = End()
    yield made
    made.close()


def test_what_is_noted_is_sent(end: End) -> None:
    end.outbox.start()
    end.say(first=1)
    end.say(second=2)
    assert [end.far.receive(), end.far.receive()] == [{"first": 1}, {"second": 2}]


def test_what_was_noted_before_the_start_is_sent_then(end: End) -> None:
    end.say(early=1)
    assert end.waiting
    end.outbox.start()
    assert end.far.receive() == {"early": 1}


def test_nobody_waits_for_an_end_that_does_not_read(end: End) -> None:
    end.outbox.start()
    for number in range(64):
        end.say(number=number, filling="x" * 65_536)
    assert [end.far.receive()["number"] for _ in range(64)] == list(range(64))
    end.say(number=64)
    assert end.far.receive() == {"number": 64}


def test_it_looks_again_by_itself_for_as_long_as_it_has_to(end: End) -> None:
    end.again = 0.001
    end.outbox.start()
    end.waiting.append({"unnoted": 1})
    assert end.far.receive() == {"unnoted": 1}


def test_a_note_within_gathering_is_not_lost(end: End) -> None:
    gather = end.gather
    more = [{"inner": 2}]

    def noting() -> dict[str, Any]:
        message = gather()
        if not message and more:
            end.say(**more.pop())
        return message

    end.outbox = Outbox(end.channel, noting)
    end.outbox.start()
    end.say(outer=1)
    assert {tuple(end.far.receive()) for _ in range(2)} == {("outer",), ("inner",)}


def test_all_arrives_once_and_in_order_whoever_notes_it(end: End) -> None:
    end.outbox.start()

    def talk(who: int) -> None:
        for number in range(200):
            end.say(who=who, number=number)

    threads = [threading.Thread(target=talk, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    heard = [end.far.receive() for _ in range(800)]
    for thread in threads:
        thread.join()
    for who in range(4):
        assert [each["number"] for each in heard if each["who"] == who] == list(range(200))


def test_a_defect_ends_the_link_and_not_who_noted_something(
    end: End, caplog: pytest.LogCaptureFixture
) -> None:
    end.outbox.start()
    end.say(bad=object())
    with pytest.raises(EOFError):
        end.far.receive()
    end.say(good=1)
    assert "cannot be sent" in caplog.text


def test_an_end_that_is_gone_harms_nobody(end: End) -> None:
    end.outbox.start()
    end.far.close()
    for number in range(3):
        end.say(number=number)


def test_nothing_is_sent_after_the_close(end: End) -> None:
    end.outbox.start()
    end.say(first=1)
    assert end.far.receive() == {"first": 1}
    end.outbox.close()
    end.say(second=2)
    end.channel.close()
    with pytest.raises(EOFError):
        end.far.receive()
