"""Joins the core, which knows threads and `concurrent.futures`, to the event loop of a door.

Both ways are batched, because a wake-up costs more than the item that it is for: calls that the loop runs
in one turn are submitted together, up to what belongs in a turn, and futures that finish in one batch, or
while the loop is busy, are handed to it by one byte in a pipe, which costs two thirds of what
`call_soon_threadsafe` does.
"""

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial

from assay.engine.core.together import soon
from assay.engine.doors.backend import Backend
from assay.engine.doors.turns import HEAVY, IMAGES
from assay.engine.errors import SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome

Callback = Callable[[Future[Outcome]], None]


class Bridge:
    """Belongs to one event loop; every method but the core's callback is called in its thread."""

    def __init__(self, core: Backend, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._loop = loop
        self._calls: deque[_Call] = deque()
        self._finished: deque[tuple[Callback, Future[Outcome]]] = deque()
        self._woken = False
        wake, self._bell = os.pipe()
        os.set_blocking(wake, False)
        loop.add_reader(wake, self._deliver, wake)  # which keeps this alive until the loop is closed
        weakref.finalize(self, _close, wake, self._bell)

    @property
    def waiting(self) -> int:
        """Items that the core has not been given yet."""
        return len(self._calls)

    async def score(self, item: Item) -> Outcome:
        """The outcome of one item, `overloaded` where there is no room. Cancelling cancels the item.

        Raises EngineFault where the engine was lost before the item was scored.
        """
        call = _Call(item, self._loop.create_future())
        if not self._calls:
            self._loop.call_soon(self._submit)
        self._calls.append(call)
        try:
            return await call.waiter
        except asyncio.CancelledError:
            if call.future is not None:
                call.future.cancel()
            raise

    def watch(self, future: Future[Outcome], callback: Callback) -> None:
        """Has `callback(future)` called in the loop once the future is done."""
        future.add_done_callback(partial(self._on_done, callback))

    def _submit(self) -> None:
        calls: list[_Call] = []
        size = 0
        while self._calls and len(calls) < IMAGES:
            size += len(self._calls[0].item.data)
            if calls and size > HEAVY:
                break
            call = self._calls.popleft()
            if not call.waiter.done():
                calls.append(call)
        if self._calls:
            self._loop.call_soon(self._submit)
        self._submit_all(calls)

    def _submit_all(self, calls: "list[_Call]") -> None:
        try:
            futures = self._core.submit([call.item for call in calls])
        except SetupError as error:  # a bundle was unloaded since one of them came: not the others' fault
            if len(calls) > 1:
                for call in calls:
                    self._submit_all([call])
            else:
                calls[0].waiter.set_exception(error)
            return
        except Exception as error:
            for call in calls:
                call.waiter.set_exception(error)
            return
        for call, future in zip(calls, futures, strict=True):
            call.future = future
            self.watch(future, call.settle)

    def _on_done(self, callback: Callback, future: Future[Outcome]) -> None:
        """Runs in a thread of the core."""
        self._finished.append((callback, future))
        soon(self._wake)

    def _wake(self) -> None:
        """The flag is looked at after the append and cleared before the queue is emptied, so nothing is left
        behind; two threads at once cost a wake-up too many at worst.
        """
        if not self._woken:
            self._woken = True
            os.write(self._bell, b"!")

    def _deliver(self, wake: int) -> None:
        os.read(wake, 64)
        self._woken = False
        for _ in range(len(self._finished)):  # what comes now has a wake-up of its own
            callback, future = self._finished.popleft()
            callback(future)


class _Call:
    """One item that a coroutine waits for."""

    __slots__ = ("future", "item", "waiter")

    def __init__(self, item: Item, waiter: asyncio.Future[Outcome]) -> None:
        self.item = item
        self.waiter = waiter
        self.future: Future[Outcome] | None = None

    def settle(self, future: Future[Outcome]) -> None:
        if self.waiter.done():
            return
        try:
            self.waiter.set_result(future.result())
        except CancelledError:
            self.waiter.cancel()
        except Exception as error:
            self.waiter.set_exception(error)


def _close(*fds: int) -> None:
    for each in fds:
        os.close(each)
