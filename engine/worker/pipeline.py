"""Several batches at a time: one is checked, the one before it decoded, the one before that scored."""

import threading
from collections.abc import Callable, Sequence
from queue import Queue
from typing import Any, TypeVar

Batch = TypeVar("Batch")


def pipelined(
    receive: Callable[[], Batch],
    alone: Callable[[Batch], bool],
    steps: Sequence[Callable[[Any], Any]],
    answer: Callable[[Batch, Any], None],
) -> None:
    """Batches from `receive` take `steps`, each in a thread of its own, and are answered in this one, in
    order, until one raises. The first step is given the batch, each other one what the step before made. The
    last step, after which pixels lie on the device, is one batch ahead of the answers and no more.

    A batch that is `alone` takes no step before all earlier ones are answered, and none takes one beside it:
    an image that is suspected of ending workers must not be blamed for another's fault.
    """
    unanswered: Queue[None] = Queue()
    room = threading.Semaphore(2)
    links: list[Queue[tuple[Batch, Any] | BaseException]] = [Queue(maxsize=1) for _ in steps]

    def last(made: Any) -> Any:
        room.acquire()
        return steps[-1](made)

    def first() -> None:
        lonely = False
        try:
            while True:
                batch = receive()
                if lonely or alone(batch):
                    unanswered.join()
                lonely = alone(batch)
                unanswered.put(None)
                links[0].put((batch, taken[0](batch)))
        except BaseException as error:
            links[0].put(error)

    def further(step: Callable[[Any], Any], before: Queue[Any], after: Queue[Any]) -> None:
        try:
            while True:
                batch, made = _unless_raised(before.get())
                after.put((batch, step(made)))
        except BaseException as error:
            after.put(error)

    taken = (*steps[:-1], last)
    threading.Thread(target=first, name="assay-step-1", daemon=True).start()
    for number, step in enumerate(taken[1:], 1):
        given = (step, links[number - 1], links[number])
        threading.Thread(target=further, args=given, name=f"assay-step-{number + 1}", daemon=True).start()
    while True:
        answer(*_unless_raised(links[-1].get()))
        unanswered.task_done()
        room.release()


def _unless_raised(item: "tuple[Batch, Any] | BaseException") -> tuple[Batch, Any]:
    if isinstance(item, BaseException):
        raise item
    return item
