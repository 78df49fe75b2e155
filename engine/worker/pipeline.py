"""Two batches at a time: one is decoded while the one before it is scored."""

import threading
from collections.abc import Callable
from queue import Queue
from typing import TypeVar

Batch = TypeVar("Batch")
Decoded = TypeVar("Decoded")


def pipelined(
    receive: Callable[[], Batch],
    alone: Callable[[Batch], bool],
    decode: Callable[[Batch], Decoded],
    answer: Callable[[Batch, Decoded], None],
) -> None:
    """Batches from `receive` are decoded in a thread and answered in this one, in order, until one raises.

    A batch that is `alone` is not decoded before all earlier ones are answered, and none is decoded beside
    it: an image that is suspected of ending workers must not be blamed for another's fault.
    """
    decoded: Queue[tuple[Batch, Decoded] | BaseException] = Queue(maxsize=1)

    def decode_all() -> None:
        lonely = False
        try:
            while True:
                batch = receive()
                if lonely or alone(batch):
                    decoded.join()
                lonely = alone(batch)
                decoded.put((batch, decode(batch)))
        except BaseException as error:
            decoded.put(error)

    threading.Thread(target=decode_all, name="assay-decode", daemon=True).start()
    while True:
        item = decoded.get()
        if isinstance(item, BaseException):
            raise item
        answer(*item)
        decoded.task_done()
