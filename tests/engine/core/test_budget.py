import threading

from hypothesis import given
from hypothesis import strategies as st

from assay.engine.core.budget import Budget
from assay.engine.item import Priority


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(Priority))))
def test_grants_never_pass_the_limit_of_their_priority(wishes: list[tuple[int, Priority]]) -> None:
    budget = Budget(1000)
    for count, priority in wishes:
        before = budget.used
        granted = budget.reserve(count, priority)
        assert granted == (before + count <= budget.limit(priority))
        assert budget.used == before + count * granted


def test_a_full_backlog_leaves_room_for_interactive_items() -> None:
    budget = Budget(1000)
    while budget.reserve(50, Priority.BACKLOG):
        pass
    assert budget.reserve(200, Priority.INTERACTIVE)


def test_who_waits_is_woken_by_what_is_given_back() -> None:
    budget = Budget(100)
    assert budget.reserve(75, Priority.BACKLOG)
    threading.Timer(0.05, budget.release, [75]).start()
    assert budget.reserve(60, Priority.BACKLOG, wait=True)
    assert budget.used == 60
