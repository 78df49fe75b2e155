"""What is due once for all outcomes of a batch: waking a thread for each costs more than all else in it.

Futures tell of themselves one by one. What they set off goes through `soon`, which waits for the end of the
batch where there is one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Due(threading.local):
    calls: "dict[tuple[Callable[..., None], tuple[Any, ...]], None] | None" = None


_due = _Due()


def soon(call: Callable[..., None], *arguments: Any) -> None:
    """Call once at the end of the batch that this thread is settling, however often it is asked for; at once
    where there is none."""
    if _due.calls is None:
        call(*arguments)
    else:
        _due.calls[call, arguments] = None


@contextmanager
def together() -> Iterator[None]:
    """What is done in the body is of one batch."""
    if _due.calls is not None:
        yield
        return
    _due.calls = {}
    try:
        yield
    finally:
        calls, _due.calls = _due.calls, None
        for call, arguments in calls:
            call(*arguments)
