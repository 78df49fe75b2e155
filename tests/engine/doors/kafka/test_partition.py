"""The bookkeeping of one partition against a plain model, whatever the order of events."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.outcome import Outcome, Reason, Rejection

OUTCOME = Rejection("x", Reason.EMPTY, "there are no bytes")


def taken(offset: int, size: int = 1) -> Taken:
    return Taken(SimpleNamespace(offset=offset), size, Future[Outcome]())


@given(gaps=st.lists(st.integers(1, 5), min_size=1, max_size=30), data=st.data())
def test_any_order_of_events(gaps: list[int], data: st.DataObject) -> None:
    """Sent in offset order, each once; the position is never beyond a gap; bytes are those unacknowledged."""
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]  # compaction and transactions leave holes
    partition = Partition()
    to_take = [taken(offset, size=offset) for offset in offsets]
    inside: list[Taken] = []
    finished: set[int] = set()
    sent: list[Taken] = []
    acknowledged: set[int] = set()

    def take() -> None:
        inside.append(to_take.pop(0))
        partition.take(inside[-1])

    def finish() -> None:
        one = data.draw(st.sampled_from([t for t in inside if not t.future.done()]))
        one.future.set_result(OUTCOME)
        finished.add(one.record.offset)
        sent.extend(partition.ready())

    def acknowledge() -> None:
        one = data.draw(st.sampled_from([t for t in sent if t.record.offset not in acknowledged]))
        partition.acknowledge(one)
        acknowledged.add(one.record.offset)

    def possible() -> list[Callable[[], None]]:
        return [
            *([take] if to_take else []),
            *([finish] if any(not t.future.done() for t in inside) else []),
            *([acknowledge] if any(t.record.offset not in acknowledged for t in sent) else []),
        ]

    while actions := possible():
        data.draw(st.sampled_from(actions))()
        so_far = offsets[: len(inside)]
        prefix = next((i for i, offset in enumerate(so_far) if offset not in finished), len(so_far))
        assert [t.record.offset for t in sent] == so_far[:prefix]
        run = next((i for i, offset in enumerate(so_far) if offset not in acknowledged), len(so_far))
        assert partition.position == (so_far[run - 1] + 1 if run else None)
        assert partition.bytes == sum(so_far[run:])
        assert partition.busy == (run < len(so_far))
        again = [t.record.offset for t in partition.resend()]
        assert again == [t.record.offset for t in sent if t.record.offset not in acknowledged]
    assert partition.position == offsets[-1] + 1
    assert partition.bytes == 0


@given(st.lists(st.sampled_from(["done", "held", "queued"]), max_size=8))
def test_given_back_is_all_from_the_first_that_no_worker_holds(states: list[str]) -> None:
    partition = Partition()
    inside = [taken(offset, size=offset + 1) for offset in range(len(states))]
    for one, state in zip(inside, states, strict=True):
        partition.take(one)
        if state != "queued":
            one.future.set_running_or_notify_cancel()
        if state == "done":
            one.future.set_result(OUTCOME)
    kept = states.index("queued") if "queued" in states else len(states)
    partition.give_back()
    assert [one.future.cancelled() for one in inside] == [state == "queued" for state in states]
    assert partition.bytes == sum(one.size for one in inside[:kept])
    for one in inside:
        if one.future.running():
            one.future.set_result(OUTCOME)
    sent = partition.ready()
    assert sent == inside[:kept]
    for one in sent:
        partition.acknowledge(one)
    assert not partition.busy
    assert partition.bytes == 0
    assert partition.position == (kept or None)


@given(st.integers(1, 8), st.data())
def test_closed_it_sends_nothing_and_counts_what_was_sent(count: int, data: st.DataObject) -> None:
    partition = Partition()
    inside = [taken(offset) for offset in range(count)]
    for one in inside:
        partition.take(one)
    first = data.draw(st.integers(0, count))
    for one in inside[:first]:
        one.future.set_result(OUTCOME)
    sent = partition.ready()
    partition.close()
    assert all(one.future.cancelled() for one in inside[first:])
    assert partition.ready() == partition.resend() == []
    assert partition.bytes == first
    for one in sent:
        partition.acknowledge(one)
    assert not partition.busy
    assert partition.position == (first or None)


@given(st.integers(1, 8), st.data())
def test_halted_it_delivers_what_is_before_and_passes_nothing(count: int, data: st.DataObject) -> None:
    partition = Partition()
    inside = [taken(offset) for offset in range(count)]
    for one in inside:
        partition.take(one)
    done = data.draw(st.integers(1, count))
    for one in inside[:done]:
        one.future.set_result(OUTCOME)
    sent = partition.ready()
    at = data.draw(st.integers(0, done - 1))
    early = data.draw(st.sets(st.integers(0, done - 1)))
    for number in sorted(early - {at}):
        partition.acknowledge(sent[number])  # also behind it, as after an answer that was refused
    partition.halt(sent[at])
    partition.resume()  # as a rebalance does
    late = taken(count)
    partition.take(late)
    assert all(one.future.cancelled() for one in [*inside[done:], late])
    assert partition.ready() == []
    again = partition.resend()
    assert [one.record.offset for one in again] == [number for number in range(at) if number not in early]
    for one in again:
        partition.acknowledge(one)
    for one in sent[at:]:
        partition.acknowledge(one)  # too late to count
    assert (partition.busy, partition.bytes, partition.halted) == (False, 0, True)
    assert partition.position == (at or None)


def test_an_outcome_that_is_acknowledged_twice_counts_once() -> None:
    partition = Partition()
    one, two = taken(0), taken(1)
    for each in (one, two):
        partition.take(each)
        each.future.set_result(OUTCOME)
    partition.ready()
    partition.acknowledge(one)
    partition.acknowledge(one)
    assert (partition.position, partition.bytes) == (1, 1)


@given(st.integers(1, 8), st.data())
def test_what_was_committed_unheard_counts_and_the_rest_comes_again(count: int, data: st.DataObject) -> None:
    partition = Partition()
    inside = [taken(2 * offset) for offset in range(count)]
    for one in inside:
        partition.take(one)
        one.future.set_result(OUTCOME)
    sent = [one for _ in inside for one in partition.ready(most=1)]
    assert sent == inside
    offset = data.draw(st.integers(0, 2 * count))
    partition.acknowledge_before(offset)
    assert partition.resend() == [one for one in inside if one.record.offset >= offset]
    assert partition.position == (2 * ((offset - 1) // 2) + 1 if offset else None)


def test_the_position_skips_only_where_nothing_is_under_way() -> None:
    partition = Partition()
    partition.skip_to(3)
    assert partition.position == 3
    one = taken(5)
    partition.take(one)
    partition.skip_to(6)
    one.future.set_result(OUTCOME)
    partition.ready()
    partition.skip_to(6)
    assert partition.position == 3
    partition.acknowledge(one)
    partition.skip_to(4)
    assert partition.position == 6
    partition.skip_to(9)
    assert partition.position == 9
    partition.take(two := taken(9))
    two.future.set_result(OUTCOME)
    partition.ready()
    partition.halt(two)
    partition.skip_to(10)
    assert partition.position == 9
