import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.worker.oom import OomSplitter


class Device:
    """Has room for a given number of images at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []
        self.released = 0

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self.room:
            raise MemoryError("no room")
        return [10 * item for item in items]

    def release(self) -> None:
        self.released += 1


@given(room=st.integers(1, 20), sizes=st.lists(st.integers(0, 40), max_size=4))
def test_every_item_is_answered_once_and_in_order(room: int, sizes: list[int]) -> None:
    device = Device(room)
    halving: OomSplitter[int, int] = OomSplitter(device.release)
    for size in sizes:
        assert halving(device, range(size)) == [10 * item for item in range(size)]
    failed = sum(size > room for size in device.tried)
    assert device.released == failed
    assert failed <= 6  # halves of 40: what fitted once is kept


def test_the_size_that_fitted_is_kept() -> None:
    device = Device(3)
    halving: OomSplitter[int, int] = OomSplitter()
    halving(device, range(8))
    halving(device, range(5))
    assert device.tried == [8, 4, 2, 2, 2, 2, 2, 2, 1]


def test_one_item_without_room_raises() -> None:
    with pytest.raises(MemoryError, match="no room"):
        OomSplitter[int, int]()(Device(0), range(4))


def test_other_errors_pass() -> None:
    def broken(items: Sequence[int]) -> list[int]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        OomSplitter[int, int]()(broken, range(4))


def test_the_arrays_of_a_failed_call_are_gone_when_memory_is_released() -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def full(items: Sequence[int]) -> list[int]:
        array = np.zeros(1000)
        alive.append(weakref.ref(array))
        if len(items) > 1:
            raise MemoryError("no room")
        return list(items)

    def release() -> None:
        assert alive
        assert all(reference() is None for reference in alive)

    assert OomSplitter[int, int](release)(full, range(4)) == [0, 1, 2, 3]
