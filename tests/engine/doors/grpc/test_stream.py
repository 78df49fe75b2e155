"""`ScoreStream` against a real client on loopback: one answer each, back pressure, ends of every kind."""

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from support.stub_core import StubCore, judge

from assay.engine.doors.grpc import GrpcDoor
from assay.engine.doors.grpc import service as grpc_service
from assay.engine.doors.grpc.service import MAX_ID
from assay.engine.item import Item
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc
from assay.engine.wire.convert import to_message
from assay.engine.wire.pieces import MAX_MESSAGE

WINDOW = 16  # of the fixture's door
MAX_STREAMS = 3


def message(*images: tuple[str, bytes], **fields: object) -> pb.ScoreStreamRequest:
    return pb.ScoreStreamRequest(images=[pb.Image(id=id, data=data, **fields) for id, data in images])  # type: ignore[arg-type]


class Sender:
    """An open stream whose messages a test sends one by one; `None` closes the sending side."""

    def __init__(self, stub: scoring_pb2_grpc.ScoringServiceStub, **arguments: object) -> None:
        self._messages: queue.SimpleQueue[pb.ScoreStreamRequest | None] = queue.SimpleQueue()
        self.call = stub.ScoreStream(iter(self._messages.get, None), **arguments)

    def send(self, *messages: pb.ScoreStreamRequest | None) -> None:
        for each in messages:
            self._messages.put(each)

    def outcomes(self) -> Iterator[pb.Outcome]:
        for response in self.call:
            yield from response.outcomes


def until(condition, seconds: float = 5.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def collect(outcomes: Iterator[pb.Outcome], received: list[str]) -> None:
    """Keeps what came even where the stream ends with an error."""
    for outcome in outcomes:
        received.append(outcome.id)


def ids(outcomes: Iterator[pb.Outcome]) -> list[str]:
    return [outcome.id for outcome in outcomes]


@pytest.mark.parametrize("per_message", [1, 7, 200])
def test_a_thousand_images_with_bad_ones_among_them_get_one_answer_each(stub, per_message: int) -> None:
    chance = random.Random(per_message)
    images = [(str(n), chance.choice([b"", b"bad %d" % n, b"good %d" % n, b"g" * 5000])) for n in range(1000)]
    messages = [message(*images[at : at + per_message]) for at in range(0, 1000, per_message)]
    outcomes = [outcome for response in stub.ScoreStream(iter(messages)) for outcome in response.outcomes]
    assert Counter(outcome.id for outcome in outcomes) == Counter(id for id, _ in images)
    expected = {id: to_message(judge(Item(id, data))) for id, data in images}
    assert {outcome.id: outcome for outcome in outcomes} == expected


def test_a_stream_of_nothing_ends_at_once(stub) -> None:
    assert list(stub.ScoreStream(iter([]))) == []
    assert list(stub.ScoreStream(iter([message(), message()]))) == []


def test_an_outcome_does_not_wait_for_the_next_image(stub) -> None:
    stream = Sender(stub)
    outcomes = stream.outcomes()
    for n in range(3):
        stream.send(message((str(n), b"x")))
        assert next(outcomes).id == str(n)
    stream.send(None)
    assert list(outcomes) == []
    assert stream.call.code() is grpc.StatusCode.OK


def test_half_close_ends_after_the_last_outcome(stub, core: StubCore) -> None:
    core.gate.clear()
    stream = Sender(stub)
    stream.send(message(("a", b"x"), ("b", b"y")), None)
    until(lambda: len(core.taken) == 2)
    core.gate.set()
    assert sorted(ids(stream.outcomes())) == ["a", "b"]
    assert stream.call.code() is grpc.StatusCode.OK


def test_a_stream_has_no_more_than_its_window_in_flight(stub, core: StubCore) -> None:
    core.gate.clear()
    stream = Sender(stub)
    stream.send(*[message(*[(f"{n}-{k}", b"x") for k in range(5)]) for n in range(20)], None)
    until(lambda: len(core.taken) == WINDOW)
    time.sleep(0.1)
    assert len(core.taken) == WINDOW
    core.gate.set()
    assert len(set(ids(stream.outcomes()))) == 100


def test_a_client_that_does_not_read_is_not_read_from(door: GrpcDoor, core: StubCore) -> None:
    # Answers too large to vanish in HTTP/2's buffers: with flow control the server stops after a few.
    big = "i" * 100_000
    with grpc.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        stream = Sender(stub)
        stream.send(*[message((big, b"x")) for _ in range(1500)], None)
        until(lambda: len(core.taken) > 0)
        seen = -1
        while seen != len(core.taken):
            seen = len(core.taken)
            time.sleep(0.3)
        assert seen < 1000
        assert len(ids(stream.outcomes())) == 1500


def test_no_room_slows_a_stream_down_and_rejects_nothing(stub, core: StubCore) -> None:
    core.room = 3000
    images = [(str(n), b"x" * 1000) for n in range(200)]
    outcomes = [
        outcome
        for response in stub.ScoreStream(message(*images[at : at + 10]) for at in range(0, 200, 10))
        for outcome in response.outcomes
    ]
    assert len(outcomes) == 200
    assert all(outcome.HasField("verdict") for outcome in outcomes)


def test_each_image_has_its_own_deadline(stub, core: StubCore) -> None:
    core.gate.clear()
    stream = Sender(stub)
    stream.send(message(("late", b"x"), timeout=timedelta(milliseconds=50)))
    outcomes = stream.outcomes()
    late = next(outcomes)
    assert (late.id, late.rejection.reason) == ("late", pb.REASON_DEADLINE)
    core.gate.set()
    stream.send(message(("fine", b"x"), timeout=timedelta(seconds=30)), None)
    assert [outcome.HasField("verdict") for outcome in outcomes] == [True]


def test_the_deadline_of_the_call_bounds_its_images(stub, core: StubCore) -> None:
    stream = Sender(stub, timeout=20)
    stream.send(message(("a", b"x")), message(("b", b"y"), timeout=timedelta(seconds=2)), None)
    assert sorted(ids(stream.outcomes())) == ["a", "b"]
    deadlines = {item.id: item.deadline for item in core.taken}
    assert deadlines["a"] == pytest.approx(time.monotonic() + 20, abs=2)
    assert deadlines["b"] == pytest.approx(time.monotonic() + 2, abs=2)


def test_an_unknown_bundle_hurts_only_the_images_that_name_it(stub, core: StubCore) -> None:
    named = pb.ScoreStreamRequest(
        images=[
            pb.Image(id="b", data=b"x"),
            pb.Image(id="c", data=b"x", bundle="third"),
            pb.Image(id="d", data=b"x"),
        ]
    )
    messages = [message(("a", b"x")), named, message(("e", b"x"), bundle="b" * 100_000), message(("f", b"x"))]
    outcomes = {
        outcome.id: outcome for response in stub.ScoreStream(iter(messages)) for outcome in response.outcomes
    }
    assert {id for id, outcome in outcomes.items() if outcome.HasField("verdict")} == {"a", "b", "d", "f"}
    assert outcomes["c"].rejection.reason == outcomes["e"].rejection.reason == pb.REASON_UNKNOWN_BUNDLE
    assert outcomes["c"].rejection.detail == "bundle 'third' is not served here; served: first, second"
    assert len(outcomes["e"].rejection.detail) < 300
    assert [item.id for item in core.taken] == ["a", "b", "d", "f"]


def test_a_bundle_that_is_unloaded_while_images_wait_hurts_only_those_that_name_it(
    stub, core: StubCore
) -> None:
    core.room = 0
    named = pb.ScoreStreamRequest(
        images=[
            pb.Image(id="a", data=b"x"),
            pb.Image(id="b", data=b"x", bundle="second"),
            pb.Image(id="c", data=b"x", bundle="first"),
        ]
    )
    answers = stub.ScoreStream(iter([named, message(("d", b"x"), bundle="second"), message(("e", b"x"))]))
    time.sleep(0.05)
    del core.bundles["second"]
    core.room = 1 << 20
    outcomes = {outcome.id: outcome for response in answers for outcome in response.outcomes}
    assert {id for id, outcome in outcomes.items() if outcome.HasField("verdict")} == {"a", "c", "e"}
    assert outcomes["b"].rejection.reason == outcomes["d"].rejection.reason == pb.REASON_UNKNOWN_BUNDLE


def test_a_client_that_reads_nothing_is_not_read_from_for_unknown_bundles_either(
    stub, core: StubCore
) -> None:
    asked = 0

    def endless() -> Iterator[pb.ScoreStreamRequest]:
        nonlocal asked
        for asked in range(100_000):  # noqa: B007
            yield message(("i" * 1000, b""), bundle="third")

    call = stub.ScoreStream(endless())
    seen = -1
    while seen != asked or not asked:
        seen = asked
        time.sleep(0.3)
    assert asked < 50_000  # what gRPC's own windows hold grows to some 10 MB on a busy machine
    call.cancel()


@pytest.mark.parametrize("lost", ["in flight", "before"])
def test_a_lost_engine_ends_the_stream_as_unavailable(stub, core: StubCore, lost: str) -> None:
    stream = Sender(stub)
    if lost == "before":
        core.fault()
        stream.send(message(("a", b"x")))
    else:
        core.gate.clear()
        stream.send(message(*[(str(n), b"x") for n in range(40)]))  # more than the window: some still held
        until(lambda: len(core.taken) == WINDOW)
        core.fault()
    with pytest.raises(grpc.RpcError) as error:
        list(stream.outcomes())
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "no worker" in error.value.details()


@pytest.mark.parametrize("how", ["cancel", "die", "deadline"])
def test_a_client_that_leaves_frees_all_it_held(door: GrpcDoor, core: StubCore, how: str) -> None:
    core.gate.clear()
    core.room = 10_000
    channel = grpc.insecure_channel(f"127.0.0.1:{door.port}")
    stub = scoring_pb2_grpc.ScoringServiceStub(channel)
    stream = Sender(stub, timeout=0.5 if how == "deadline" else None)
    stream.send(*[message((str(n), b"x" * 1000)) for n in range(30)])
    until(lambda: core.used == 10_000)
    if how == "cancel":
        stream.call.cancel()
    elif how == "die":
        channel.close()
    until(lambda: core.used == 0)
    stream.send(None)
    channel.close()
    taken = len(core.taken)
    time.sleep(0.1)
    assert len(core.taken) == taken  # what was held is not submitted for nobody


def test_a_dead_stream_gives_its_place_back(stub) -> None:
    for _ in range(2 * MAX_STREAMS):
        stream = Sender(stub)
        stream.send(message(("a", b"x")))
        assert next(stream.outcomes()).id == "a"
        stream.call.cancel()
        stream.send(None)
    until(lambda: list(stub.ScoreStream(iter([]))) == [])


def test_one_stream_too_many_is_refused_with_a_hint(stub) -> None:
    streams = [Sender(stub) for _ in range(MAX_STREAMS)]
    for stream in streams:
        stream.send(message(("a", b"x")))
        next(stream.outcomes())
    with pytest.raises(grpc.RpcError) as error:
        list(stub.ScoreStream(iter([])))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "3 streams" in error.value.details()
    for stream in streams:
        stream.send(None)
        list(stream.outcomes())
    assert list(stub.ScoreStream(iter([]))) == []


def test_a_message_above_the_transport_ends_only_its_stream(stub) -> None:
    other = Sender(stub)
    with pytest.raises(grpc.RpcError) as error:
        list(stub.ScoreStream(iter([message(("a", b"x" * MAX_MESSAGE))])))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    other.send(message(("b", b"x")), None)
    assert ids(other.outcomes()) == ["b"]


def test_a_drain_answers_what_was_read_then_says_unavailable(stub, core: StubCore, door: GrpcDoor) -> None:
    core.gate.clear()
    stream = Sender(stub)
    # One message larger than the window: its tail is read but not yet submitted when the drain begins.
    stream.send(message(*[(str(n), b"%d" % n) for n in range(3 * WINDOW)]))
    until(lambda: len(core.taken) == WINDOW)
    drain = threading.Thread(target=door.drain, args=(20,))
    drain.start()
    until(lambda: door._service is not None and door._service._draining)
    stream.send(message(("late", b"x")))
    core.gate.set()
    received: list[str] = []
    with pytest.raises(grpc.RpcError) as error:
        collect(stream.outcomes(), received)
    assert sorted(received, key=int) == [str(n) for n in range(3 * WINDOW)]
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "draining" in error.value.details()
    drain.join(5)
    assert not drain.is_alive()


def test_a_stream_that_begins_while_a_drain_holds_calls_is_refused(
    stub, core: StubCore, door: GrpcDoor
) -> None:
    drain = threading.Thread(target=door.drain, args=(60,))
    drain.start()
    # New calls wait from here on, or are refused at once: both orders end the same way.
    until(lambda: not door._service._open.is_set() or door._service._draining)
    stream = Sender(stub)
    with pytest.raises(grpc.RpcError) as error:
        list(stream.outcomes())
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    drain.join(20)
    assert not drain.is_alive()
    assert core.taken == []


def test_a_stream_whose_client_is_done_ends_well_in_a_drain(stub, core: StubCore, door: GrpcDoor) -> None:
    core.gate.clear()
    stream = Sender(stub)
    stream.send(message(("a", b"x")), None)
    until(lambda: core.taken)
    time.sleep(0.1)
    drain = threading.Thread(target=door.drain, args=(20,))
    drain.start()
    time.sleep(0.3)
    core.gate.set()
    assert ids(stream.outcomes()) == ["a"]
    assert stream.call.code() is grpc.StatusCode.OK
    drain.join(5)


def test_a_drain_under_load_answers_every_image_that_the_core_took(
    stub, core: StubCore, door: GrpcDoor
) -> None:
    received: Counter[str] = Counter()
    codes: list[grpc.StatusCode] = []

    def run(name: int) -> None:
        def endless() -> Iterator[pb.ScoreStreamRequest]:
            for n in range(100_000):
                yield message(*[(f"{name}-{n}-{k}", b"x") for k in range(3)])

        call = stub.ScoreStream(endless())
        try:
            for response in call:
                received.update(outcome.id for outcome in response.outcomes)
        except grpc.RpcError as error:
            codes.append(error.code())  # type: ignore[attr-defined]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(MAX_STREAMS)]
    for thread in threads:
        thread.start()
    until(lambda: received.total() > 500)
    door.drain(10)
    for thread in threads:
        thread.join(10)
    assert codes == [grpc.StatusCode.UNAVAILABLE] * MAX_STREAMS
    assert received == Counter(item.id for item in core.taken)


def raw_stream(channel: grpc.Channel, *messages: bytes, **arguments: object):  # type: ignore[no-untyped-def]
    call = channel.stream_stream("/assay.v1.ScoringService/ScoreStream")
    return call(iter(messages), **arguments)


EMPTY_IMAGE = b"\x0a\x00"
FLOOD = 500_000


def test_a_message_of_very_many_images_holds_nobody_else_up(channel, stub, core: StubCore) -> None:
    received = 0
    flood = raw_stream(channel, EMPTY_IMAGE * FLOOD)
    for _ in range(20):  # the others are answered while the flood is
        for message_ in (next(flood), next(flood)):
            received += len(pb.ScoreStreamResponse.FromString(message_).outcomes)
        assert stub.Score(pb.ScoreRequest(image=pb.Image(id="other", data=b"x"))).outcome.id == "other"
        assert ids(o for r in stub.ScoreStream(iter([message(("a", b"x"))])) for o in r.outcomes) == ["a"]
    taken = [item.id for item in core.taken]
    assert received <= taken.count("") < FLOOD // 2
    assert (taken.count("other"), taken.count("a")) == (20, 20)
    flood.cancel()


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_client_that_leaves_in_a_flood_frees_its_place(channel, stub, core: StubCore, how: str) -> None:
    timeout = 0.5 if how == "deadline" else None
    floods = [raw_stream(channel, EMPTY_IMAGE * FLOOD, timeout=timeout) for _ in range(MAX_STREAMS)]
    until(lambda: core.taken)
    if how == "cancel":
        for flood in floods:
            flood.cancel()

    ended = {flood.code() for flood in floods}
    assert ended == {grpc.StatusCode.CANCELLED if how == "cancel" else grpc.StatusCode.DEADLINE_EXCEEDED}

    def all_places_are_free() -> bool:
        streams = [Sender(stub) for _ in range(MAX_STREAMS)]
        try:
            for stream in streams:
                stream.send(message(("other", b"x")))
                next(stream.outcomes())
        except grpc.RpcError:
            return False
        finally:
            for stream in streams:
                stream.send(None)
                stream.call.cancel()
        return True

    until(all_places_are_free, 20)
    taken = [item.id for item in core.taken].count("")
    time.sleep(0.1)
    assert [item.id for item in core.taken].count("") == taken < FLOOD


def test_every_image_of_a_large_message_is_answered(stub) -> None:
    images = [(str(n), b"bad" if n % 7 else b"good") for n in range(3000)]
    outcomes = [
        outcome for response in stub.ScoreStream(iter([message(*images)])) for outcome in response.outcomes
    ]
    assert sorted(int(outcome.id) for outcome in outcomes) == list(range(3000))
    assert all(outcome.HasField("verdict") == (int(outcome.id) % 7 == 0) for outcome in outcomes)


def test_long_ids_are_echoed_in_messages_that_any_client_can_read(door: GrpcDoor) -> None:
    names = [chr(ord("a") + n) * 100_000 for n in range(20)] + ["\U0001f600" * (MAX_ID // 4), "z"]
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", [("grpc.max_send_message_length", -1)]) as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        received = [
            outcome.id
            for response in stub.ScoreStream(iter([message(*[(name, b"x") for name in names])]))
            for outcome in response.outcomes
        ]
    assert sorted(received) == sorted(names)


def test_long_ids_fill_the_window_sooner(stub, core: StubCore) -> None:
    core.gate.clear()
    stream = Sender(stub)
    stream.send(message(*[(f"{n:0100000}", b"x") for n in range(WINDOW)]), None)
    until(lambda: len(core.taken) == 5)
    time.sleep(0.1)
    assert len(core.taken) == 5
    core.gate.set()
    assert len(set(ids(stream.outcomes()))) == WINDOW


@pytest.mark.parametrize(
    "wrong",
    [
        b"\xff\xff",
        b"\x0a\x05abc",
        b"\x0a\x03\x0a\x01\xff",
        message(("i" * (MAX_ID + 1), b"x")).SerializeToString(),
    ],
    ids=["noise", "cut", "id that is no text", "long id"],
)
def test_what_is_no_request_ends_its_stream_after_the_answers(channel, stub, wrong: bytes) -> None:
    received: list[str] = []
    first = message(("a", b"x"), ("b", b"y")).SerializeToString()
    call = raw_stream(channel, first, wrong, first)
    outcomes = (o for response in call for o in pb.ScoreStreamResponse.FromString(response).outcomes)
    with pytest.raises(grpc.RpcError) as error:
        collect(outcomes, received)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(received) == ["a", "b"]
    assert ids(o for r in stub.ScoreStream(iter([message(("c", b"x"))])) for o in r.outcomes) == ["c"]


@pytest.mark.parametrize("how", ["silent", "unread"])
def test_streams_that_stand_still_make_room(
    stub, core: StubCore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(grpc_service, "STANDSTILL", 1e-9)
    streams = [Sender(stub) for _ in range(MAX_STREAMS)]
    for n, stream in enumerate(streams):
        stream.send(message(("a", b"x")))
        next(stream.outcomes())
        if how == "unread":
            stream.send(*[message((f"{n}", b"x" * 100_000)) for _ in range(50)])
            until(lambda n=n: sum(item.id == str(n) for item in core.taken) == 50)
    assert ids(o for r in stub.ScoreStream(iter([message(("b", b"x"))])) for o in r.outcomes) == ["b"]
    with pytest.raises(grpc.RpcError) as error:
        list(streams[0].outcomes())
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "stood still" in error.value.details()
    for stream in streams[1:]:
        stream.send(message(("c", b"x")), None)
        assert ids(stream.outcomes())[-1] == "c"


def test_a_stream_that_waits_for_its_outcomes_makes_no_room(
    stub, core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_service, "STANDSTILL", 1e-9)
    core.gate.clear()
    streams = [Sender(stub) for _ in range(MAX_STREAMS)]
    for stream in streams:
        stream.send(message(("a", b"x")), None)
    until(lambda: len(core.taken) == MAX_STREAMS)
    with pytest.raises(grpc.RpcError) as error:
        list(stub.ScoreStream(iter([])))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    core.gate.set()
    assert [ids(stream.outcomes()) for stream in streams] == [["a"]] * MAX_STREAMS
