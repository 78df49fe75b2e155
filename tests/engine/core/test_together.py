"""What is due once for a batch."""

import threading
from concurrent.futures import Future

import pytest

from assay.engine.core.together import soon, together


def test_outside_of_a_batch_a_call_is_made_at_once() -> None:
    made: list[int] = []
    soon(made.append, 1)
    assert made == [1]


def test_a_batch_ends_with_each_call_once_in_the_order_of_asking() -> None:
    made: list[str] = []
    with together():
        for what in ("b", "a", "b", "a"):
            soon(made.append, what)
        assert made == []
    assert made == ["b", "a"]


def test_a_batch_within_a_batch_is_part_of_it() -> None:
    made: list[int] = []
    with together():
        with together():
            soon(made.append, 1)
        assert made == []
    assert made == [1]


def test_what_is_due_is_called_though_the_batch_fails() -> None:
    made: list[int] = []

    def failing() -> None:
        with together():
            soon(made.append, 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert made == [1]
    soon(made.append, 2)
    assert made == [1, 2]


def test_other_threads_are_not_in_the_batch() -> None:
    made: list[int] = []
    with together():
        other = threading.Thread(target=soon, args=(made.append, 1))
        other.start()
        other.join()
        assert made == [1]


def test_callbacks_of_futures_come_together() -> None:
    woken: list[None] = []

    def wake() -> None:
        woken.append(None)

    futures = [Future[int]() for _ in range(3)]
    for future in futures:
        future.add_done_callback(lambda _: soon(wake))
    with together():
        for future in futures:
            future.set_result(0)
    assert len(woken) == 1
