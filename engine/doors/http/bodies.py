"""Room for the bodies of requests: bounded in bytes, and never held by who sends slowly."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# Bytes of the bodies that may be on their way at a time.
MOST_BYTES = 256 << 20
# Seconds after which a body that is still on its way has to make room for others.
GRACE = 1.0


class NoRoom(Exception):
    """There is none now, and why."""


class Bodies:
    """Belongs to one event loop. A body counts with the length that its request states."""

    def __init__(self) -> None:
        self._held: dict[asyncio.Task[object], tuple[int, float]] = {}  # bytes and since when, oldest first
        self._arriving: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def receive(self, length: int) -> Iterator[None]:
        """Around the life of a body of the running task, up to where its images are in the core.

        Raises NoRoom. A task whose body has not arrived after `GRACE` seconds is cancelled where another
        needs its room.
        """
        task = asyncio.current_task()
        assert task is not None
        self._make_room(length)
        self._held[task] = (length, asyncio.get_running_loop().time())
        self._arriving.add(task)
        try:
            yield
        finally:
            self._held.pop(task, None)
            self._arriving.discard(task)

    def arrived(self) -> None:
        """The body of the running task is complete."""
        task = asyncio.current_task()
        assert task is not None
        self._arriving.discard(task)

    def _make_room(self, length: int) -> None:
        now = asyncio.get_running_loop().time()
        slow = [
            task for task, (_, since) in self._held.items() if task in self._arriving and now - since > GRACE
        ]
        while sum(held for held, _ in self._held.values()) + length > MOST_BYTES:
            if not slow:
                raise NoRoom("other requests are being received; try again shortly")
            oldest = slow.pop(0)
            del self._held[oldest]
            oldest.cancel()
