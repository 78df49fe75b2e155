"""Records that refer to their image: what is followed, what is refused, and what that costs."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import KafkaSettings, claims
from assay.engine.doors.kafka.claims import Claims
from assay.engine.doors.kafka.references import locate, open_source, read_root, reference
from assay.engine.errors import SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.settings import Limits

ROOTS = [read_root("memory://a/images"), read_root("file:///data/")]
GIVEN = {"brokers": "b:1", "input": "i", "output": "o", "rejects": "r", "group": "g"}


def refusal(work: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        work()
    return refused.value.reason


@pytest.mark.parametrize(
    "said",
    [
        "memory://a/images/../x", "memory://a/images/./x", "memory://a/images/%2e%2e/x",
        "memory://a/images/%252e%252E/x", "memory://a/images/..%2fx", "memory://a/images/..%5cx",
        "memory://a/images/..\\x", "memory://a/images//x", "memory://a/images%2f..%2f..%2fx",
        "memory://a/imagesx/1", "memory://a/images", "memory://a/images/", "memory://a/images/d/",
        "memory://b/images/1", "memory://A/images/1", "memory://u@a/images/1", "memory://a:1/images/1",
        "MEMORY://a/images/1", "memory:/a/images/1", "memory:a/images/1",
        "simplecache::memory://a/images/1", "memory://a/images/1::file:///etc/passwd",
        "memory://a/images/1?x", "memory://a/images/1#x", "memory://a/images/\0", "memory://a/images/%00",
        "memory://a/images/1\n", "file://a/data/1", "file:////data/1", "/data/1", "data/1", "",
        "http://a/images/1",
        "memory://a/images/" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_could_lead_outside_is_refused(said: str) -> None:
    assert refusal(lambda: locate(said.encode(), ROOTS)) is Reason.REFERENCE_REFUSED


@pytest.mark.parametrize(
    "said", ["memory://a/images/1", "memory://a/images/d/ä b%20..jpg", "file:///data/..x"]
)
def test_what_is_below_a_root_is_found_as_it_is_written(said: str) -> None:
    root, place = locate(said.encode(), ROOTS)
    assert root in ROOTS
    assert place.url == said


@given(
    st.binary(max_size=40)
    | st.text("./%25ef2\\:?#a", max_size=20).map(lambda t: b"file:///data/" + t.encode())
)
def test_whatever_is_followed_lies_below_its_root(said: bytes) -> None:
    try:
        root, place = locate(said, ROOTS)
    except Refused:
        return
    assert os.path.normpath(place.path) == place.path
    assert place.path.startswith(root.path)


@pytest.mark.parametrize(
    "root", ["http://host/x", "https://host/", "data", "file:///a/../b", "file://data/x"]
)
def test_a_root_is_plain(root: str) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(**GIVEN, reference_roots=(root,))


def test_roots_are_separated_by_commas() -> None:
    settings = KafkaSettings(**GIVEN, reference_roots="file:///a,memory://b/c")
    assert settings.reference_roots == ("file:///a", "memory://b/c")


def test_who_refers_to_an_image_sends_none() -> None:
    def said(value: bytes | None, *headers: tuple[str, bytes]) -> bytes | None:
        return reference(SimpleNamespace(value=value, headers=list(headers)))

    event = [("ce_specversion", b"1.0"), ("ce_dataref", b"s3://b/1")]
    assert said(None, *event) == said(b"", *event) == b"s3://b/1"
    assert said(None, *event, ("assay-reference", b"mine")) == b"mine"
    assert said(None, event[1]) is said(b"image", *event) is said(None) is None


def test_files_are_followed_only_inside(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "1").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (data / "in").symlink_to("1")
    (data / "out").symlink_to(tmp_path / "secret")
    (data / "up").symlink_to(tmp_path)
    (data / "loop").symlink_to("loop")
    os.mkfifo(data / "fifo")
    root = read_root(data.as_uri())

    def read(name: str) -> bytes:
        source = open_source(*locate(f"{root.url}{name}".encode(), [root]))
        try:
            return b"".join(source.pieces())
        finally:
            source.close()

    assert read("1") == read("in") == b"inside"
    for name in ("out", "up/secret", "fifo"):
        assert refusal(lambda name=name: read(name)) is Reason.REFERENCE_REFUSED
    assert refusal(lambda: read("none")) is Reason.REFERENCE_MISSING
    with pytest.raises(OSError, match="loop"):
        read("loop")


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.pipe_file("memory://a/images/1", b"image 1")
    yield files
    files.store.clear()


@pytest.fixture
def make() -> Iterator[Callable[..., Claims]]:
    made: list[Claims] = []

    def claims_of(seconds: float = 60.0, room: int = 1 << 20, most: int = 1000) -> Claims:
        limits = Limits(max_bytes=most)
        made.append(Claims(ROOTS, seconds, limits, room, lambda: None, lambda rejection: None))
        return made[-1]

    yield claims_of
    for one in made:
        one.close()


def outcome(future: "Any") -> Outcome:
    found: Outcome = future.result(20)
    return found


@pytest.mark.usefixtures("memory")
def test_each_claim_is_read_or_rejected_alone(make: Callable[..., Claims], memory: Any) -> None:
    memory.pipe_file("memory://a/images/large", bytes(1001))
    made = make()
    names = ["1", "none", "large", "../x"]
    futures = [made.take(Item(name, b""), f"memory://a/images/{name}".encode()) for name in names]
    reasons = [outcome(future) for future in futures[1:]]
    assert [one.reason for one in reasons if isinstance(one, Rejection)] == [
        Reason.REFERENCE_MISSING,
        Reason.TOO_MANY_BYTES,
        Reason.REFERENCE_REFUSED,
    ]
    wait_until(lambda: len(made.read) == 1)
    claim, data = made.read.popleft()
    assert (claim.item.id, data, made.used) == ("1", b"image 1", 7)
    made.drop(claim)
    assert made.used == 0


def test_nothing_is_read_for_which_there_is_no_room(make: Callable[..., Claims], memory: Any) -> None:
    memory.pipe_file("memory://a/images/big", bytes(600))
    made = make(room=1000)
    for number in range(4):
        made.take(Item(str(number), b""), b"memory://a/images/big")
    for _ in range(4):
        wait_until(lambda: len(made.read) == 1)
        time.sleep(0.02)
        assert (len(made.read), made.used) == (1, 600)
        made.drop(made.read.popleft()[0])


def test_reads_that_hang_are_rejected_and_hold_up_no_other(
    make: Callable[..., Claims], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()
    reading = open_source

    def hanging(root: Any, place: Any) -> Any:
        if place.path.endswith("hang"):
            hang.wait(60)
        return reading(root, place)

    monkeypatch.setattr(claims, "open_source", hanging)
    made = make(seconds=0.2)
    stuck = [made.take(Item(str(n), b""), b"memory://a/images/hang") for n in range(100)]
    last = made.take(Item("last", b""), b"memory://a/images/1")

    def all_over() -> bool:
        made.expire()
        return all(future.done() for future in stuck)

    wait_until(all_over)
    assert {one.reason for one in map(outcome, stuck) if isinstance(one, Rejection)} == {
        Reason.REFERENCE_FAILED
    }
    assert last.done() or made.read  # rejected with those that found no thread, or read
    hang.set()
    wait_until(lambda: made._hanging == 0)
    made.read.clear()
    made.take(Item("again", b""), b"memory://a/images/1")
    wait_until(lambda: len(made.read) == 1)


def test_what_cannot_be_read_here_is_said_at_the_start() -> None:
    class Core(DisorderedCore):
        bundles = {"stub": None}  # noqa: RUF012

    with (
        pytest.raises(SetupError, match="nonsense cannot be read"),
        serving(Core(), KafkaSettings(**GIVEN, reference_roots=("nonsense://x/",))),
    ):
        pass


@pytest.mark.usefixtures("delivery")
def test_each_record_that_refers_gets_its_one_outcome(broker: Broker, memory: Any) -> None:
    topics = Topics(broker, partitions=1).create()
    memory.pipe_file("memory://a/images/bad", b"bad image")
    for name in ("1", "none", "bad", "../../x", "1"):
        topics.send([None], key=b"k", headers=[("assay-reference", f"memory://a/images/{name}".encode())])
        topics.send([b"image"])
    core = DisorderedCore()
    core.bundles = {"stub": None}  # type: ignore[attr-defined]
    core.settings = SimpleNamespace(limits=Limits())  # type: ignore[attr-defined]
    settings = topics.settings(reference_roots=("memory://a/images",))
    with serving(core, settings) as served:
        wait_until(lambda: topics.committed() == {0: 10} or bool(served.failures))
        assert not served.failures
    topics.check_exactly_once([(0, offset) for offset in range(10)])
    reasons = [dict(one.headers)["assay.reason"] for one in topics.read(topics.rejects)]
    assert reasons == [b"reference_missing", b"undecodable", b"reference_refused"]
    assert sorted(item.data for item in core.taken) == [b"bad image", *[b"image"] * 5, *[b"image 1"] * 2]
