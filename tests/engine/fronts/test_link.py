"""What goes from a front to the core and back, in every order of both ends' messages."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.fronts import HandCore, Pair, jpeg

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.core.pressure import Pressure
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import EngineFault, SetupError
from assay.engine.fronts import backend, link
from assay.engine.fronts.wire import plain
from assay.engine.item import Item, Priority
from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.telemetry.spans import Spans
from assay.engine.telemetry.traces import recording

IMAGE = jpeg()
INTERACTIVE, BACKLOG = Priority.INTERACTIVE, Priority.BACKLOG
text = st.text(max_size=20)
plain_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | text,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(text, each, max_size=3),
    max_leaves=8,
)
about = st.dictionaries(text, plain_values, max_size=4)
numbers = st.dictionaries(text, st.floats(allow_nan=False), max_size=4)
outcomes = st.one_of(
    st.builds(
        Verdict, text, st.sampled_from(Label), st.floats(0, 1), numbers, text, text, about, numbers,
        st.lists(st.sampled_from(Doubt), max_size=3).map(tuple),
    ),
    st.builds(Rejection, text, st.sampled_from(Reason), text, about),
)  # fmt: skip


@pytest.fixture
def core(bundle: Bundle) -> HandCore:
    return HandCore({bundle.name: bundle})


@pytest.fixture
def pair(core: HandCore) -> Iterator[Pair]:
    made = Pair(core)
    yield made
    made.close()


def verdict(id: str = "") -> Verdict:
    return Verdict(id, Label.AUTHENTIC, 0.25, {"plain": -1.0}, "brightness", "1")


def renamed(bundle: Bundle, name: str, **changed: object) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"name": name, **changed}))


@given(outcomes)
def test_an_outcome_comes_back_as_it_was(bundle: Bundle, outcome: Outcome) -> None:
    core = HandCore({bundle.name: bundle})
    pair = Pair(core)
    try:
        [future] = pair.front.submit([Item("x", IMAGE)])
        pair.up()
        core.taken[0][1].set_result(outcome)
        pair.down()
        assert future.result(0) == outcome
    finally:
        pair.close()


@given(st.text(max_size=30), st.none() | st.floats(0, 1e9), st.sampled_from(Priority), st.booleans())
def test_an_item_arrives_as_it_was(
    bundle: Bundle, id: str, deadline: float | None, priority: Priority, drawn: bool
) -> None:
    core = HandCore({bundle.name: bundle})
    pair = Pair(core)
    try:
        item = Item(id, IMAGE, bundle.name, deadline, priority, drawn)
        pair.front.offer([item])
        pair.settle()
        assert core.taken[0][0] == item
    finally:
        pair.close()


def test_what_headers_refuse_never_leaves_the_front(pair: Pair, core: HandCore) -> None:
    before = telemetry.OUTCOMES.labels("brightness", "unsupported_format")._value.get()
    good, bad = pair.front.submit([Item("good", IMAGE), Item("bad", b"GIF is not this")])
    assert isinstance(rejection := bad.result(0), Rejection)
    assert (rejection.id, rejection.reason) == ("bad", Reason.UNSUPPORTED_FORMAT)
    assert telemetry.OUTCOMES.labels("brightness", "unsupported_format")._value.get() == before + 1
    pair.settle()
    assert [item.id for item, _ in core.taken] == ["good"]
    assert not good.done()


def test_all_that_became_ready_goes_in_one_message(pair: Pair, core: HandCore) -> None:
    futures = pair.front.submit([Item(str(n), IMAGE) for n in range(20)])
    futures += pair.front.submit([Item(str(n), IMAGE) for n in range(20, 30)])
    assert len(pair.up()["items"]) == 30
    assert not pair.front.gather()
    for item, future in core.taken:
        future.set_result(verdict(item.id))
    assert len(pair.down()["outcomes"]) == 30
    assert [future.result(0).id for future in futures] == [str(n) for n in range(30)]


class TestCancelling:
    def test_before_the_engine_knows_of_it(self, pair: Pair, core: HandCore) -> None:
        [future] = pair.front.submit([Item("x", IMAGE)])
        assert future.cancel()
        pair.settle()
        assert core.taken[0][1].cancelled()

    def test_afterwards(self, pair: Pair, core: HandCore) -> None:
        [future] = pair.front.submit([Item("x", IMAGE)])
        pair.up()
        assert future.cancel()
        pair.up()
        assert core.taken[0][1].cancelled()

    def test_while_its_outcome_is_on_the_way(self, pair: Pair, core: HandCore) -> None:
        [future] = pair.front.submit([Item("x", IMAGE)])
        pair.up()
        core.taken[0][1].set_result(verdict())
        assert future.cancel()
        pair.down()
        pair.up()
        assert future.cancelled()
        pair.settle()

    def test_in_the_lobby(self, pair: Pair, core: HandCore) -> None:
        core.room = 0
        first, second = pair.front.offer([Item("first", IMAGE), Item("second", IMAGE)])
        pair.up()
        assert first.cancel()
        pair.up()
        core.room = 5
        pair.settle()
        assert [item.id for item, _ in core.taken] == ["second"]
        assert pair.front._lobby == [0, 0]
        assert not second.done()

    def test_by_the_engine(self, pair: Pair, core: HandCore) -> None:
        """As an engine does whose link is closed: the front hears nothing, and that harms nobody."""
        pair.front.submit([Item("x", IMAGE)])
        pair.up()
        core.taken[0][1].cancel()
        assert "outcomes" not in pair.down()


class TestRoom:
    def test_what_is_offered_waits_for_it_in_order(self, pair: Pair, core: HandCore) -> None:
        core.room = 2
        futures = pair.front.offer([Item(str(n), IMAGE) for n in range(5)])
        assert len(futures) == 5
        pair.settle()
        assert len(core.taken) == 2
        core.room = 10
        pair.settle()
        assert [item.id for item, _ in core.taken] == ["0", "1", "2", "3", "4"]

    def test_urgent_items_do_not_wait_behind_the_backlog(self, pair: Pair, core: HandCore) -> None:
        core.room = 0
        pair.front.offer([Item("late", IMAGE, priority=BACKLOG)])
        pair.front.offer([Item("urgent", IMAGE, priority=INTERACTIVE)])
        pair.settle()
        pair.front.submit([Item("now", IMAGE, priority=INTERACTIVE)])
        pair.settle()
        core.room = 10
        pair.settle()
        assert [item.id for item, _ in core.taken] == ["now", "urgent", "late"]

    def test_a_front_sends_no_more_than_its_lobby_takes(
        self, pair: Pair, core: HandCore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backend, "LOBBY", 3 * len(IMAGE))
        core.room = 0
        items = [Item(str(n), IMAGE, priority=BACKLOG) for n in range(8)]
        assert len(pair.front.offer(items)) == 3
        pair.settle()
        assert pair.front.offer(items[3:]) == []
        assert len(pair.front.offer([Item("other", IMAGE, priority=INTERACTIVE)])) == 1
        core.room = 1
        pair.settle()
        core.room = 2
        pair.settle()
        assert len(pair.front.offer(items[3:])) in (2, 3)

    def test_one_image_may_always_wait(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "LOBBY", 1)
        assert len(pair.front.offer([Item("0", IMAGE), Item("1", IMAGE)])) == 1

    def test_a_call_that_finds_the_way_full_is_refused(self, core: HandCore) -> None:
        pair = Pair(core, size=2 * len(IMAGE))
        futures = pair.front.submit([Item(str(n), IMAGE) for n in range(3)])
        assert isinstance(refused := futures[2].result(0), Rejection)
        assert refused.reason is Reason.OVERLOADED
        assert pair.front.offer([Item("x", IMAGE)]) == []
        pair.settle()
        assert [item.data for item, _ in core.taken] == [IMAGE] * 2
        assert len(pair.front.offer([Item("x", IMAGE)])) == 1
        pair.close()


class TestBundles:
    def test_an_unknown_one_is_refused_at_once_and_nothing_is_taken(self, pair: Pair, core: HandCore) -> None:
        for enter in (pair.front.submit, pair.front.offer):
            with pytest.raises(SetupError, match="'other' is not served here; served: brightness"):
                enter([Item("x", IMAGE), Item("y", IMAGE, "other")])
        pair.settle()
        assert core.taken == []

    def test_one_that_was_unloaded_on_the_way(self, pair: Pair, core: HandCore, bundle: Bundle) -> None:
        core.bundles = {**core.bundles, "other": renamed(bundle, "other")}
        pair.link.publish(core.bundles, 2)
        pair.settle()
        assert list(pair.front.bundles) == ["brightness", "other"]
        submitted = pair.front.submit([Item("a", IMAGE, "other"), Item("b", IMAGE)])
        core.room = 0
        offered = pair.front.offer([Item("c", IMAGE, "other"), Item("d", IMAGE)])
        core.bundles = {bundle.name: bundle}
        core.room = 9
        pair.settle()
        with pytest.raises(SetupError, match="other is not served"):
            submitted[0].result(0)
        assert isinstance(refused := offered[0].result(0), Rejection)
        assert refused.reason is Reason.UNKNOWN_BUNDLE
        assert [item.id for item, _ in core.taken] == ["b", "d"]

    def test_a_header_that_another_bundle_admitted_is_looked_at_again(
        self, inline: Core, bundle: Bundle
    ) -> None:
        """The front has not heard yet of a bundle that wants larger images."""
        pair = Pair(inline)
        pair.link.publish({bundle.name: renamed(bundle, bundle.name, min_side=1)}, 2)
        pair.down()
        [future] = pair.front.submit([Item("x", jpeg(side=bundle.manifest.min_side - 1))])
        pair.settle()
        assert isinstance(refused := future.result(0), Rejection)
        assert refused.reason is Reason.TOO_SMALL
        pair.close()

    def test_whoever_changes_them_waits_until_the_front_knows(self, pair: Pair) -> None:
        pair.link.publish({}, 7)
        assert not pair.link.wait_for(7, 0)
        pair.link.hear({"edition": 7})
        assert pair.link.wait_for(7, 0)

    def test_nobody_waits_for_a_front_that_is_gone(self, core: HandCore) -> None:
        pair = Pair(core)
        pair.close()
        assert pair.link.wait_for(99, 60)


class TestPressure:
    def test_it_is_asked_anew_where_it_means_refusing(
        self, pair: Pair, core: HandCore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [100.0]
        monkeypatch.setattr(backend, "monotonic", lambda: now[0])
        core.now = Pressure(9.0, 0.1, False)
        pair.front.submit([Item("x", IMAGE)])
        pair.settle()
        assert pair.front.pause() == 9.0
        assert not pair.front.gather()  # it is fresh
        now[0] += 1
        assert pair.front.pause() == 8.0
        core.now = Pressure(0.0, 0.1, False)
        assert pair.up() == {"ask": True}
        assert pair.front.pause() == 8.0
        assert not pair.front.gather()  # asked once
        pair.down()
        assert pair.front.pause() is None

    def test_what_was_sent_since_counts(self, pair: Pair, core: HandCore) -> None:
        core.now = Pressure(0.5, 0.2, False)
        pair.front.submit([Item("x", IMAGE)])
        pair.settle()
        assert pair.front.pause() is None
        assert pair.front.pause(2) is not None
        pair.front.submit([Item("x", IMAGE), Item("y", IMAGE)])
        assert pair.front.pause() is not None

    def test_a_full_budget_refuses(self, pair: Pair, core: HandCore) -> None:
        core.now = Pressure(0.0, 0.0, True)
        pair.front.submit([Item("x", IMAGE)])
        pair.settle()
        assert pair.front.pause() is not None


class TestTheEnd:
    @pytest.mark.parametrize("enter", ["submit", "offer"])
    def test_an_engine_that_is_lost_says_so(self, pair: Pair, core: HandCore, enter: str) -> None:
        items = [Item("x", IMAGE), Item("y", IMAGE)]
        before = getattr(pair.front, enter)(items)
        pair.settle()
        core.fault = EngineFault("no worker is left")
        for _, future in core.taken:
            future.set_exception(core.fault)
        between = getattr(pair.front, enter)(items)
        pair.settle()
        for future in before + between:
            with pytest.raises(EngineFault, match="no worker is left"):
                future.result(0)
        pair.link.tell({"lost": True})
        pair.settle()
        with pytest.raises(EngineFault):
            getattr(pair.front, enter)(items)

    def test_what_a_lost_front_gave_away_is_cancelled(self, core: HandCore) -> None:
        pair = Pair(core)
        pair.front.submit([Item("x", IMAGE)])
        core.room = 0
        pair.front.offer([Item("y", IMAGE)])
        pair.up()
        pair.close()
        assert [future.cancelled() for _, future in core.taken] == [True]

    def test_its_bytes_are_free_again(self, bundle: Bundle) -> None:
        """Of a core whose only worker is stopped meanwhile: nothing is finished, all is given back."""
        core = Core([bundle], Settings(workers=1))
        try:
            [worker] = core.pids()
            os.kill(worker, signal.SIGSTOP)
            pair = Pair(core)
            pair.front.submit([Item(str(n), jpeg(grey=n)) for n in range(40)])
            pair.settle()
            held = core._budget.used
            assert held > 0
            pair.close()
            assert core._budget.used < held  # but for the batches that the worker has
            os.kill(worker, signal.SIGCONT)
        finally:
            core.stop()
        assert core._budget.used == 0


def test_priority_holds_across_fronts(bundle: Bundle) -> None:
    """One queue: what one front has of interactive calls goes before what another has of a backlog."""
    core = Core([bundle], Settings(workers=1, batch=1))
    order: list[str] = []
    pairs = [Pair(core), Pair(core)]
    try:
        [worker] = core.pids()
        os.kill(worker, signal.SIGSTOP)
        fill = pairs[0].front.submit([Item(f"fill{n}", jpeg(grey=n)) for n in range(8)])
        backlog = pairs[0].front.offer(
            [Item(f"backlog{n}", jpeg(grey=20 + n), priority=BACKLOG) for n in range(4)]
        )
        pairs[0].settle()
        calls = pairs[1].front.submit(
            [Item(f"call{n}", jpeg(grey=40 + n), priority=INTERACTIVE) for n in range(4)]
        )
        pairs[1].settle()
        core.on_verdict.append(lambda ticket, _: order.append(ticket.item.id))
        os.kill(worker, signal.SIGCONT)
        core.stop()
        for pair in pairs:
            pair.settle()
        assert all(future.done() for future in fill + backlog + calls)
        places = {id: number for number, id in enumerate(order)}
        assert max(places[f"call{n}"] for n in range(4)) < min(places[f"backlog{n}"] for n in range(4))
    finally:
        core.stop()
        for pair in pairs:
            pair.close()


def test_the_byte_budget_is_one_for_all_fronts(bundle: Bundle) -> None:
    settings = Settings(workers=0, memory=4 * MIB, limits={"max_bytes": MIB // 4, "max_pixels": 1 << 16})
    real = Core([bundle], settings)
    real._budget.reserve(real._budget.limit(Priority.BACKLOG), Priority.BACKLOG)
    pairs = [Pair(real), Pair(real)]
    try:
        for pair in pairs:
            [offered] = pair.front.offer([Item("x", IMAGE, priority=BACKLOG)])
            pair.settle()
            assert not offered.done()
        real._budget.release(real._budget.limit(Priority.BACKLOG))
        for pair in pairs:
            pair.settle()
            assert not any(pair.link._lobby)
    finally:
        real.stop()
        for pair in pairs:
            pair.close()


def test_passwords_reach_a_front() -> None:
    settings = KafkaSettings(
        brokers="b:1", input="i", output="o", rejects="r", group="g",
        security="SASL_SSL", username="u", password="s3cret",
    )  # fmt: skip
    assert KafkaSettings(**plain(settings)) == settings


def test_a_trace_has_its_stages_and_its_batch_from_the_engine(pair: Pair, core: HandCore) -> None:
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter))
    with recording(spans):
        trace = spans.caller("Score", "server", (), {}).image("x")
        [future] = pair.front.submit([Item("x", IMAGE, trace=trace)])
        pair.settle()
        item, ours = core.taken[0]
        assert item.trace is not None
        assert item.trace.trace_id == trace.trace_id
        telemetry.trace_batch([item.trace], "brightness", 3, 100.0, 101.0)
        ours.set_result(replace(verdict("x"), seconds={"queue": 1.0, "decode": 0.25}))
        pair.settle()
        assert isinstance(future.result(0), Verdict)
    found = {span.name: span for span in exporter.get_finished_spans()}
    assert set(found) == {"Score", "batch", "queue", "decode"}
    batch, image = found["batch"], found["Score"]
    assert [link.context.span_id for link in image.links] == [batch.context.span_id]
    assert [link.context.span_id for link in batch.links] == [image.context.span_id]
    decode = found["decode"]
    assert decode.end_time - decode.start_time == pytest.approx(0.75e9)  # as long as the whole batch


@pytest.fixture
def wakes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each time that the link's outbox is told of something."""
    found: list[bool] = []
    monkeypatch.setattr(pair.link._outbox, "notify", lambda: found.append(True))
    return found


@pytest.mark.parametrize("enter", ["submit", "offer"])
def test_what_was_read_is_told_with_the_next_outcome(
    pair: Pair, core: HandCore, wakes: list[bool], enter: str
) -> None:
    future = getattr(pair.front, enter)([Item("a", IMAGE)])[0]
    pair.up()
    assert not wakes
    core.taken[0][1].set_result(verdict("a"))
    assert wakes
    said = pair.down()
    assert said["read"] == len(IMAGE)
    assert future.done()


def test_what_was_read_is_told_at_once_where_no_outcome_will_come(
    pair: Pair, core: HandCore, wakes: list[bool]
) -> None:
    first, second = pair.front.submit([Item("a", IMAGE), Item("b", IMAGE)])
    pair.up()
    first.cancel()
    pair.up()
    assert not wakes
    second.cancel()
    pair.up()
    assert wakes
    assert pair.down()["read"] == 2 * len(IMAGE)


def test_much_that_was_read_is_told_at_once(
    pair: Pair, wakes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "UNTOLD", 2 * len(IMAGE))
    pair.front.submit([Item("a", IMAGE)])
    pair.up()
    assert not wakes
    pair.front.submit([Item("b", IMAGE)])
    pair.up()
    assert wakes


def test_what_waits_for_room_is_tried_again(pair: Pair, core: HandCore, wakes: list[bool]) -> None:
    core.room = 0
    pair.front.offer([Item("a", IMAGE)])
    pair.up()
    assert wakes
    assert not core.taken
    core.room = 1
    pair.down()
    assert core.taken
