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


@given(tickets, st.data())
def test_what_was_removed_is_not_taken_and_all_else_is(given: list[Ticket], data: st.DataObject) -> None:
    queue = Queue(LIMITS)
    queue.put(one for one in given if not one.suspect)
    queue.put_back(one for one in given if one.suspect)
    gone = data.draw(st.lists(st.sampled_from(given), unique_by=id)) if given else []
    assert [queue.remove(one) for one in gone] == [True] * len(gone)
    assert [queue.remove(one) for one in gone] == [False] * len(gone)
    assert len(queue) == len(given) - len(gone)
    taken = [one for batch in drain(queue) for one in batch]
    assert sorted(map(id, taken)) == sorted(id(one) for one in given if one not in gone)
    assert [queue.remove(one) for one in taken] == [False] * len(taken)


def test_interactive_images_go_before_a_backlog_of_a_hundred_thousand() -> None:
    queue = Queue(LIMITS)
    shared = ticket().item
    header = Header("jpeg", 8, 8)
    backlog = [Ticket(shared, "a", header, 100, float(n), Future()) for n in range(100_000)]
    queue.put(backlog)
    queue.pace.note("a", 1, 1.0)
    for n in range(100):
        assert queue.seconds(Priority.INTERACTIVE) == 0
        urgent = [ticket(k, bundle="a", priority=Priority.INTERACTIVE) for k in range(n % 7 + 1)]
        queue.put(urgent)
        assert queue.seconds(Priority.INTERACTIVE) == len(urgent)
        taken = [one for _ in range(-(-len(urgent) // LIMITS.images)) for one in queue.take(wait=False)]
        assert taken == urgent
    for one in backlog[::2]:  # at a cost that does not grow with the backlog
        assert queue.remove(one)
    assert queue.seconds(Priority.BACKLOG) == 50_000
    assert [one for batch in drain(queue) for one in batch] == backlog[1::2]


def test_a_busy_worker_is_given_no_more_work_ahead_than_bridges_the_gap() -> None:
    queue = Queue(BatchLimits(images=4, encoded=1000, bytes=10_000, ahead=0.25))
    queue.put(ticket(n) for n in range(40))
    sizes = []
    for seconds in (0.0, 0.0625, 0.125, 0.25, 9.0):
        queue.pace._means.clear()
        queue.pace.note("a", 1, seconds)
        sizes.append((len(queue.take(wait=False)), len(queue.take(wait=True))))
    assert sizes == [(4, 4), (4, 4), (2, 4), (1, 4), (1, 4)]
