"""The connections of the HTTP door, kept few: who makes room for whom."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from assay.engine.doors.http.bodies import Bodies, NoRoom

# Connections whose images are being scored at a time. They are not cut off, and leave places for probes.
MOST_SCORING = 192
# Seconds between two looks at whether all is answered.
STEP = 0.02


class Places:
    """Belongs to one event loop. A connection is the task that serves it."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.draining = False
        self._open: dict[asyncio.Task[Any], float] = {}  # when each was last answered, in that order
        self._scoring: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open) + len(self._scoring)

    def add(self, task: asyncio.Task[Any]) -> None:
        self._open[task] = asyncio.get_running_loop().time()
        task.add_done_callback(lambda task: self._open.pop(task, None))

    def answered(self) -> None:
        """The connection of the running task was answered, so it is the last to make room."""
        task = asyncio.current_task()
        if task is not None and self._open.pop(task, None) is not None:
            self._open[task] = asyncio.get_running_loop().time()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """While images of the running task's connection are in the core it need not make room.

        Raises NoRoom where as many are as may be.
        """
        task = asyncio.current_task()
        assert task is not None
        if len(self._scoring) >= MOST_SCORING:
            raise NoRoom(f"images of {MOST_SCORING} connections are being scored; try again shortly")
        if self._open.pop(task, None) is None:  # it had to make room, and ends
            raise NoRoom("too many connections; try again shortly")
        self._scoring.add(task)
        try:
            yield
        finally:
            self._scoring.discard(task)
            self._open[task] = asyncio.get_running_loop().time()

    async def make_room(self, most: int, grace: float) -> None:
        """Returns when fewer than `most` are open, by ending those that were answered `grace` seconds ago."""
        while self._open and len(self) >= most:
            oldest, since = next(iter(self._open.items()))
            wait = since + grace - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.wait(
                    [*self._open, *self._scoring], timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
            else:
                del self._open[oldest]
                oldest.cancel()

    async def drain(self) -> None:
        """Takes no further images, and returns when those that were received are answered."""
        self.draining = True
        while self._scoring or self.bodies:
            await asyncio.sleep(STEP)

    def close(self) -> list[asyncio.Task[Any]]:
        """Ends all connections; returns what is to be waited for."""
        tasks = [*self._open, *self._scoring]
        for task in tasks:
            task.cancel()
        return tasks
