import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from assay.engine.admission import Header
from assay.engine.core.queue import BatchLimits, Queue
from assay.engine.item import Item, Priority
from assay.engine.ticket import Ticket

LIMITS = BatchLimits(images=4, encoded=1000, bytes=10_000)


def ticket(
    number: int = 0,
    *,
    bundle: str = "a",
    priority: Priority = Priority.BACKLOG,
    encoded: int = 10,
    held: int = 100,
    suspect: bool = False,
) -> Ticket:
    item = Item(str(number), bytes(encoded), bundle, priority=priority)
    header = Header("jpeg", 8, 8)
    return Ticket(item, bundle, header, held, float(number), Future(), suspect)


def drain(queue: Queue) -> list[list[Ticket]]:
    batches = []
    while batch := queue.take(wait=False):
        batches.append(batch)
    return batches


tickets = st.lists(
    st.builds(
        ticket,
        number=st.integers(0, 100),
        bundle=st.sampled_from("abc"),
        priority=st.sampled_from(Priority),
        encoded=st.integers(0, 1500),
        held=st.integers(0, 15_000),
        suspect=st.booleans(),
    ),
    max_size=40,
)


@given(tickets)
def test_every_ticket_comes_out_once_in_lawful_batches(given: list[Ticket]) -> None:
    queue = Queue(LIMITS)
    queue.put(one for one in given if not one.suspect)
    queue.put_back(one for one in given if one.suspect)
    batches = drain(queue)
    assert Counter(id(one) for batch in batches for one in batch) == Counter(map(id, given))
    assert len(queue) == 0
    for batch in batches:
        assert len({one.bundle for one in batch}) == len({one.item.priority for one in batch}) == 1
        assert len(batch) <= LIMITS.images
        if len(batch) > 1:
            assert sum(len(one.item.data) for one in batch) <= LIMITS.encoded
            assert sum(one.bytes for one in batch) <= LIMITS.bytes
            assert not any(one.suspect for one in batch)


@given(tickets)
def test_suspects_then_interactive_then_backlog(given: list[Ticket]) -> None:
    queue = Queue(LIMITS)
    queue.put(one for one in given if not one.suspect)
    queue.put_back(one for one in given if one.suspect)
    ranks = [0 if one.suspect else 1 + one.item.priority for batch in drain(queue) for one in batch]
    assert ranks == sorted(ranks)


def test_one_lane_keeps_its_order_through_a_return() -> None:
    queue = Queue(LIMITS)
    given = [ticket(number) for number in range(6)]
    queue.put(given)
    queue.put_back(queue.take(wait=False))
    assert [one for batch in drain(queue) for one in batch] == given


def test_what_waits_is_shared_out_among_idle_workers() -> None:
    queue = Queue(LIMITS)
    taken: list[int] = []
    both_wait = threading.Barrier(3)

    def worker() -> None:
        both_wait.wait()
        taken.append(len(queue.take(wait=True)))

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    both_wait.wait()
    _until(lambda: queue._idle == 2)
    assert queue.take(wait=False) == []
    queue.put(ticket(number) for number in range(4))
    for thread in threads:
        thread.join(5)
    assert sorted(taken) == [2, 2]


def test_closing_wakes_who_waits() -> None:
    queue = Queue(LIMITS)
    threading.Timer(0.05, queue.close).start()
    assert queue.take(wait=True) == []


def _until(condition: Callable[[], bool]) -> None:
    event = threading.Event()
    while not condition():
        event.wait(0.001)
