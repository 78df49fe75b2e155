"""Each way against a real peer on loopback: one answer an image, whatever it is, and none from elsewhere."""

import threading
from collections.abc import Callable, Iterator

import pytest
from support.kafka import DisorderedCore, Topics, serving
from support.stub_core import StubCore

from assay.bench.broker import Broker
from assay.engine.core import Core
from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.errors import SetupError
from assay.engine.load.images import Images, from_size
from assay.engine.load.place import Place
from assay.engine.load.target import PAUSE, Answer, Failure, Target
from assay.engine.load.targets.folder import Folder
from assay.engine.load.targets.kafka import Kafka
from assay.engine.load.targets.stream import Stream
from assay.engine.load.targets.unary import Unary, read
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.wire.assay.v1 import scoring_pb2 as pb

IMAGES = Images([b"good", b"bad image", b"other", b"bad", b""], "stubs")
KINDS = [Verdict, Rejection, Verdict, Rejection, Rejection]


class Heard:
    """Answers by number, each once."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self._changed = threading.Condition()

    def __call__(self, number: int) -> Callable[[Answer], None]:
        def answered(answer: Answer) -> None:
            with self._changed:
                assert number not in self.answers
                self.answers[number] = answer
                self._changed.notify()

        return answered

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answers) >= count, 60), len(self.answers)


@pytest.fixture
def core() -> Iterator[StubCore]:
    core = StubCore()
    yield core
    core.stop()


@pytest.fixture
def door(core: StubCore) -> Iterator[GrpcDoor]:
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0"))  # type: ignore[arg-type]
    door.start()
    yield door
    door.stop()


def make(way: str, address: str, images: Images = IMAGES) -> Target:
    if way == "unary":
        return Unary(Place(address), images, 1000)
    return Stream(Place(address), images, 1000, per_message=8 if way == "messages" else 1)


ways = pytest.mark.parametrize("way", ["unary", "stream", "messages"])


def check(target: Target, count: int) -> None:
    heard = Heard()
    for number in range(count):
        target.send(number, heard(number))
    heard.wait(count)
    for number, answer in heard.answers.items():
        assert isinstance(answer, KINDS[number % len(KINDS)]), (number, answer)


@ways
def test_grpc_answers_each_image_once(door: GrpcDoor, way: str) -> None:
    target = make(way, f"127.0.0.1:{door.port}")
    check(target, 200)
    target.close()


@ways
def test_grpc_that_nobody_serves_fails_each_image(way: str) -> None:
    target = make(way, "127.0.0.1:1")
    heard = Heard()
    for number in range(5):
        target.send(number, heard(number))
    heard.wait(5)
    assert {answer.kind for answer in heard.answers.values() if isinstance(answer, Failure)} == {
        "UNAVAILABLE"
    }
    target.close()


@ways
def test_grpc_that_is_given_up_ends_at_once(core: StubCore, door: GrpcDoor, way: str) -> None:
    core.gate.clear()
    target = make(way, f"127.0.0.1:{door.port}")
    heard = Heard()
    for number in range(5):
        target.send(number, heard(number))
    target.close()
    assert all(isinstance(answer, Failure) for answer in heard.answers.values())


def test_a_refused_call_is_an_outcome_and_is_made_once(
    core: StubCore, door: GrpcDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refuse(coming: int = 0) -> float:
        calls.append(coming)
        return 5.0

    monkeypatch.setattr(core, "pause", refuse)
    target = make("unary", f"127.0.0.1:{door.port}")
    heard = Heard()
    target.send(0, heard(0))
    heard.wait(1)
    assert len(calls) == 1  # gRPC's own retries would come again before they answer
    answer = heard.answers[0]
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.OVERLOADED
    assert answer.about[PAUSE] == 5.0
    target.close()


def test_an_outcome_that_cannot_be_read_is_a_failure() -> None:
    answer = read(pb.Outcome(id="1"))
    assert isinstance(answer, Failure)
    assert "the server is newer" in answer.sentence


def test_a_message_holds_what_waits_and_waits_for_nothing(core: StubCore, door: GrpcDoor) -> None:
    target = make("messages", f"127.0.0.1:{door.port}")
    heard = Heard()
    target.send(0, heard(0))
    heard.wait(1)  # alone, though a message may have 8
    for number in range(1, 41):
        target.send(number, heard(number))
    heard.wait(41)
    target.close()


def test_files_are_scored_by_the_engine(inline: Core) -> None:
    images = Images([*from_size(48, 40, 2).files, b"no image"], "three")
    target = Folder(inline, images, 1000)
    heard = Heard()
    for number in range(30):
        target.send(number, heard(number))
    heard.wait(30)
    for number, answer in heard.answers.items():
        assert isinstance(answer, Rejection if number % 3 == 2 else Verdict)
    scratch = target._scratch.path
    assert scratch.exists()
    target.close()
    assert not scratch.exists()


def test_files_of_an_engine_that_stopped_fail(inline: Core) -> None:
    target = Folder(inline, from_size(48, 40, 1), 1000)
    inline.stop()
    heard = Heard()
    target.send(0, heard(0))
    heard.wait(1)
    assert isinstance(heard.answers[0], Failure)
    target.close()


def test_kafka_answers_each_record_once_and_passes_over_those_of_others(broker: Broker) -> None:
    topics = Topics(broker).create()
    topics.send([b"theirs, before"] * 3)
    images = Images([b"good", b"bad image", b"other", b"bad"], "stubs")
    with serving(DisorderedCore(), topics.settings()):
        target = Kafka(topics.settings(), images, 1000)
        try:
            heard = Heard()
            for number in range(120):
                target.send(number, heard(number))
                if number == 60:
                    topics.send([b"theirs", b"bad and theirs"])
            heard.wait(120)
            for number, answer in heard.answers.items():
                assert isinstance(answer, Rejection if number % 2 else Verdict)
        finally:
            target.close()


def test_kafka_without_a_topic_is_one_sentence(broker: Broker) -> None:
    topics = Topics(broker).create()
    with pytest.raises(SetupError, match="has no topic nowhere"):
        Kafka(topics.settings(output="nowhere"), IMAGES, 1000)
