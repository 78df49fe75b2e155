"""Batches that fit: one that the device has no memory for is cut in two."""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class OomSplitter(Generic[Item, Result]):
    """Calls a function on batches; on MemoryError it calls `release`, and goes on with half the size.

    The size that fitted is kept for the batches that follow: running out of memory is slow. One item that
    finds no memory alone raises.
    """

    def __init__(self, release: Callable[[], None] = lambda: None) -> None:
        self._release = release
        self._most: int | None = None

    def __call__(
        self, function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
    ) -> list[Result]:
        results: list[Result] = []
        while len(results) < len(items):
            part = items[len(results) :][: self._most]
            try:
                results += function(part)
                continue
            except MemoryError as error:
                reason = str(error)
            # outside of the handler, which would keep the arrays of the failed call alive
            if len(part) == 1:
                raise MemoryError(reason)
            self._most = len(part) // 2
            log.warning("no memory for %d images at once, now %d: %s", len(part), self._most, reason)
            self._release()
        return results
