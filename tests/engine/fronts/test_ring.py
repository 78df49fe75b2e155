"""Images on their way: nothing that is unread is written over, and no more is held than the ring has."""

import os
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.fronts.ring import Place, Ring

SIZE = 1000


@given(st.lists(st.one_of(st.integers(0, SIZE + 10), st.none()), max_size=60))
def test_what_is_read_is_what_was_written(steps: list[int | None]) -> None:
    """A number writes so many bytes, None has the other end read the oldest."""
    theirs = Ring.create(SIZE)
    ours = Ring(os.dup(theirs.fd), SIZE)
    unread: deque[tuple[Place, bytes]] = deque()
    try:
        for number, step in enumerate(steps):
            if step is not None:
                data = bytes([number % 251]) * step
                place = ours.write(data)
                if place:
                    unread.append((place, data))
                else:
                    assert step > SIZE or unread  # an image that fits finds room when all was read
            elif unread:
                place, data = unread.popleft()
                assert theirs.copy(place.offset, place.length) == data
                ours.read_to(place.end)
            assert sum(place.length for place, _ in unread) <= SIZE
        for place, data in unread:
            assert theirs.copy(place.offset, place.length) == data
    finally:
        ours.close()
        theirs.close()


def test_little_to_do_uses_the_same_pages() -> None:
    ring = Ring.create(SIZE)
    for _ in range(5):
        place = ring.write(b"x" * 400)
        assert place
        assert place.offset == 0
        ring.read_to(place.end)
    ring.close()


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (1, -1)])
def test_nothing_outside_is_read(offset: int, length: int) -> None:
    ring = Ring.create(SIZE)
    with pytest.raises(ValueError, match="outside"):
        ring.copy(offset, length)
    ring.close()
