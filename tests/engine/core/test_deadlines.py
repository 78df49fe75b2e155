"""Deadlines lie an hour ahead, and the tests say what time it is: the thread never wakes by itself."""

import gc
from collections.abc import Iterator
from concurrent.futures import Future
from time import monotonic

import pytest

from assay.engine.admission import Header
from assay.engine.core.deadlines import SLACK, Deadlines
from assay.engine.item import Item
from assay.engine.ticket import Ticket

HOUR = monotonic() + 3600


def ticket(name: str, deadline: float | None) -> Ticket:
    return Ticket(Item(name, b"", deadline=deadline), "a", Header("jpeg", 8, 8), 1, 0.0, Future())


@pytest.fixture
def late() -> list[str]:
    return []


@pytest.fixture
def deadlines(late: list[str]) -> Iterator[Deadlines]:
    deadlines = Deadlines(lambda one: late.append(one.item.id))
    yield deadlines
    deadlines.stop()


def test_each_is_called_late_once_and_in_order(deadlines: Deadlines, late: list[str]) -> None:
    kept = [ticket(name, HOUR + n) for name, n in (("c", 3), ("a", 1), ("b", 2), ("same as b", 2))]
    for one in kept:
        deadlines.add(one)
    assert deadlines.expire(HOUR) == HOUR + 1
    assert late == []
    assert deadlines.expire(HOUR + 2.5) == HOUR + 3
    assert late == ["a", "b", "same as b"]
    assert deadlines.expire(HOUR + 9) is None
    assert late == ["a", "b", "same as b", "c"]


def test_what_has_no_deadline_is_never_late(deadlines: Deadlines) -> None:
    deadlines.add(ticket("a", None))
    assert len(deadlines) == 0
    assert deadlines._thread is None


def test_what_was_answered_is_neither_late_nor_kept(deadlines: Deadlines, late: list[str]) -> None:
    for number in range(10 * SLACK):
        deadlines.add(ticket(str(number), HOUR + number))
    gc.collect()
    assert len(deadlines) <= 2 * SLACK
    deadlines.expire(HOUR + 1e6)
    assert late == []


def test_the_thread_finds_what_is_late_by_itself() -> None:
    found: Future[str] = Future()
    deadlines = Deadlines(lambda one: found.set_result(one.item.id))
    far, near = ticket("far", HOUR), ticket("near", monotonic() + 0.01)
    deadlines.add(far)
    deadlines.add(near)  # before the one that the thread waits for
    assert found.result(30) == "near"
    deadlines.stop()
    deadlines.stop()
