"""Messages between the front and a worker, over a real pair of sockets."""

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from assay.engine.worker.channel import READ, Channel

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_arrive_in_order_however_many_one_read_brings(ends: Ends) -> None:
    one, other = ends
    messages = [{"number": number, "text": "ü" * number} for number in range(50)]
    for message in messages:
        one.send(message)
    assert [other.receive(60) for _ in messages] == messages
    assert not other.ready(0.001)


def test_what_was_read_with_another_message_is_ready(ends: Ends) -> None:
    one, other = ends
    one.send(1)
    one.send(2)
    assert other.receive(60) == 1
    assert other.ready(60)
    assert other.receive(60) == 2


def test_a_message_longer_than_one_read(ends: Ends) -> None:
    one, other = ends
    message = "x" * (5 * READ)
    sending = threading.Thread(target=one.send, args=(message,))
    sending.start()
    assert other.receive(60) == message
    sending.join()


def test_a_message_that_comes_byte_by_byte() -> None:
    raw, end = socket.socketpair()
    body = json.dumps({"a": [1, 2]}).encode()
    channel = Channel(end)
    with raw:
        for byte in struct.pack("<I", len(body)) + body:
            raw.sendall(bytes([byte]))
            assert channel.ready(60)
        assert channel.receive(60) == {"a": [1, 2]}
    channel.close()


def test_silence_is_a_timeout_and_not_the_end(ends: Ends) -> None:
    one, other = ends
    with pytest.raises(TimeoutError):
        other.receive(0.001)
    one.send("late")
    assert other.receive(60) == "late"


def test_the_end_is_heard_behind_the_last_message(ends: Ends) -> None:
    one, other = ends
    one.send("last words")
    one.close()
    assert other.receive(60) == "last words"
    assert other.ready(60)
    for _ in range(2):
        with pytest.raises(EOFError):
            other.receive(60)
        assert other.ready(60)


def test_a_message_that_is_cut_off_is_the_end() -> None:
    raw, end = socket.socketpair()
    channel = Channel(end)
    with raw:
        raw.sendall(struct.pack("<I", 100) + b"half")
    with pytest.raises(EOFError):
        channel.receive(60)
    channel.close()


def test_who_waits_for_ever_hears_what_comes_late(ends: Ends) -> None:
    one, other = ends
    assert not other.ready(0.001)  # the time-out of this wait is not that of the next
    heard: list[object] = []
    waiting = threading.Thread(target=lambda: heard.append(other.receive()))
    waiting.start()
    one.send(os.getpid())
    waiting.join(60)
    assert heard == [os.getpid()]
