"""The Python client against the gRPC door: outcomes as in process, one each, and errors with a sentence."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import command
from support.stub_core import StubCore, judge

import assay.engine
from assay.engine import client as client_module
from assay.engine.client import MAX_IMAGE, Client, ServedBundle, Unavailable
from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Reason, Rejection, Verdict


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


@pytest.fixture
def client(door: GrpcDoor) -> Iterator[Client]:
    with Client(f"127.0.0.1:{door.port}", timeout=20) as client:
        yield client


@pytest.mark.parametrize("data", [b"good", b"bad", b""])
def test_an_outcome_is_what_the_engine_said(client: Client, data: bytes) -> None:
    assert client.score(data, "a") == judge(Item("a", data))


def test_the_bundle_and_the_timeout_go_along(door: GrpcDoor, core: StubCore) -> None:
    with Client(f"127.0.0.1:{door.port}", bundle="second", timeout=9) as client:
        client.score(b"x")
        list(client.score_many([("a", b"y")]))
    assert [item.bundle for item in core.taken] == ["second", "second"]
    for item in core.taken:
        assert item.deadline == pytest.approx(time.monotonic() + 9, abs=2)


def test_bundles(client: Client) -> None:
    assert client.bundles() == [ServedBundle(name, "1.0.0", "plain") for name in ("first", "second")]


def test_overload_is_asked_again_and_then_a_rejection(client: Client, core: StubCore) -> None:
    core.room = 10
    start = time.monotonic()
    outcome = client.score(b"x" * 11, "a")
    assert isinstance(outcome, Rejection)
    assert (outcome.id, outcome.reason) == ("a", Reason.OVERLOADED)
    assert time.monotonic() - start > 0.3  # four pauses of what the server asked for
    threading.Timer(0.15, lambda: setattr(core, "room", 100)).start()
    assert isinstance(client.score(b"x" * 11, "a"), Verdict)


def test_a_large_image_is_asked_again_too(client: Client, core: StubCore) -> None:
    core.room = 10
    threading.Timer(0.3, lambda: setattr(core, "room", 1 << 30)).start()
    assert isinstance(client.score(b"x" * (20 << 20), "a"), Verdict)


def test_no_time_left_is_a_rejection(door: GrpcDoor, core: StubCore) -> None:
    core.gate.clear()
    with Client(f"127.0.0.1:{door.port}", timeout=0.2) as client:
        outcome = client.score(b"x", "a")
        assert (outcome.id, outcome.reason) == ("a", Reason.DEADLINE)  # type: ignore[union-attr]
        [outcome] = client.score_many([("b", b"x")])
        assert (outcome.id, outcome.reason) == ("b", Reason.DEADLINE)  # type: ignore[union-attr]


@pytest.mark.parametrize("per_message", [1, 8, 1000])
def test_many_images_get_one_outcome_each(client: Client, per_message: int) -> None:
    images = {str(n): (b"bad %d" if n % 10 == 0 else b"good %d") % n for n in range(500)}
    outcomes = list(client.score_many(images.items(), per_message=per_message))
    assert len(outcomes) == 500
    assert {outcome.id: outcome for outcome in outcomes} == {
        id: judge(Item(id, data)) for id, data in images.items()
    }


def test_the_same_id_twice_is_two_outcomes(client: Client) -> None:
    outcomes = list(client.score_many([("a", b"x")] * 200, outstanding=3))
    assert [outcome.id for outcome in outcomes] == ["a"] * 200


def test_no_more_than_outstanding_are_read_ahead(client: Client, core: StubCore) -> None:
    core.gate.clear()
    pulled = itertools.count()
    seen = [0]

    def images() -> Iterator[tuple[str, bytes]]:
        for _ in range(100):
            seen[0] = next(pulled) + 1
            yield str(seen[0]), b"x"

    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.extend(client.score_many(images(), outstanding=5)))
    thread.start()
    time.sleep(0.3)
    assert seen[0] == 5
    core.gate.set()
    thread.join(10)
    assert len(outcomes) == 100


def test_outcomes_come_while_images_are_awaited(client: Client) -> None:
    first_is_out = threading.Event()

    def images() -> Iterator[tuple[str, bytes]]:
        yield "a", b"x"
        assert first_is_out.wait(10), "the outcome waited for the next image"
        yield "b", b"y"

    came = set()
    for outcome in client.score_many(images()):
        came.add(outcome.id)
        first_is_out.set()
    assert came == {"a", "b"}


def test_what_the_images_raise_is_raised(client: Client) -> None:
    def images() -> Iterator[tuple[str, bytes]]:
        yield "a", b"x"
        raise OSError("the disk is gone")

    outcomes = client.score_many(images())
    assert next(outcomes).id == "a"
    with pytest.raises(OSError, match="the disk is gone"):
        list(outcomes)
    with pytest.raises(UnicodeEncodeError):
        list(client.score_many([("\udcff", b"x")]))


def test_a_consumer_that_stops_early_leaves_nothing_behind(client: Client, core: StubCore) -> None:
    for outcome in client.score_many((str(n), b"x") for n in itertools.count()):
        if outcome.id == "50":
            break
    end = time.monotonic() + 5
    while core.used and time.monotonic() < end:
        time.sleep(0.01)
    assert core.used == 0
    assert isinstance(client.score(b"x"), Verdict)


def test_images_too_large_to_send_are_rejected_here(client: Client, core: StubCore) -> None:
    large = b"x" * (MAX_IMAGE + 1)
    outcome = client.score(large, "a")
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.TOO_MANY_BYTES
    many = list(client.score_many([("a", large), ("b", b"x"), ("c", large)]))
    assert {each.id: each.to_dict().get("rejected") for each in many} == {
        "a": "too_many_bytes",
        "b": None,
        "c": "too_many_bytes",
    }
    assert [item.id for item in core.taken] == ["b"]
    assert isinstance(client.score(large[:MAX_IMAGE], "d" * 1000), Verdict)


def test_a_message_never_outgrows_the_transport(client: Client) -> None:
    images = [(str(n), b"x" * (12 << 20)) for n in range(5)]
    assert len(list(client.score_many(images, per_message=5))) == 5


@pytest.mark.parametrize("call", ["score", "score_many"])
def test_an_unknown_bundle_is_a_sentence(door: GrpcDoor, call: str) -> None:
    with (
        Client(f"127.0.0.1:{door.port}", bundle="third") as client,
        pytest.raises(SetupError, match="'third' is not served here; served: first, second"),
    ):
        client.score(b"x") if call == "score" else list(client.score_many([("a", b"x")]))


def test_nobody_at_the_address_is_a_sentence_within_ten_seconds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        with Client(address) as client:
            for call in (
                lambda: client.score(b"x"),
                lambda: list(client.score_many([("a", b"x")])),
                client.bundles,
            ):
                with pytest.raises(Unavailable, match=address):
                    call()
        assert time.monotonic() - start < 10


def test_a_server_that_drains_names_what_it_left(client: Client, core: StubCore, door: GrpcDoor) -> None:
    core.gate.clear()
    release = threading.Timer(0.5, core.gate.set)
    received = []

    def images() -> Iterator[tuple[str, bytes]]:
        for n in range(10_000):
            if n == 10:
                threading.Thread(target=door.drain, args=(10,)).start()
                release.start()
            if n > 10:
                time.sleep(0.1)
            yield str(n), b"x"

    def collect() -> None:
        for outcome in client.score_many(images()):
            received.append(outcome.id)

    with pytest.raises(Unavailable, match="draining") as error:
        collect()
    assert len(received) == len(set(received)) == len(core.taken)
    assert set(received).isdisjoint(error.value.unanswered)


class TestCommand:
    def test_every_file_gets_a_line(self, door: GrpcDoor, tmp_path: Path) -> None:
        contents = {f"{n}.bin": b"bad" if n == 3 else b"x%d" % n for n in range(20)}
        for name, data in contents.items():
            (tmp_path / name).write_bytes(data)
        result = command.assay("client", tmp_path, "-s", f"127.0.0.1:{door.port}", "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert len({line["path"] for line in lines}) == len(lines) == 20
        by_name = {Path(line["path"]).name: line for line in lines}
        assert by_name["3.bin"]["rejected"] == "undecodable"
        assert by_name["4.bin"]["label"] in {"authentic", "synthetic"}
        assert "20 files" in result.stderr

    def test_a_file_that_cannot_be_read_has_a_line_too(self, door: GrpcDoor, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").symlink_to("/proc/self/mem")  # reading it is an input/output error
        result = command.assay("client", tmp_path, "-s", f"127.0.0.1:{door.port}", "--json")
        assert json.loads(result.stdout)["rejected"] == "undecodable"


def test_the_retry_policy_names_a_method_that_exists() -> None:
    [config] = client_module.RETRY["methodConfig"]
    [name] = config["name"]  # type: ignore[misc]
    service = client_module.pb.DESCRIPTOR.services_by_name["ScoringService"]
    assert name["service"] == service.full_name
    assert name["method"] in service.methods_by_name


IMPORTED = "import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize("module", ["assay.engine", "assay.engine.client"])
def test_a_client_loads_no_engine(module: str) -> None:
    command = [sys.executable, "-c", IMPORTED.format(module=module)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "assay" in loaded
    assert not loaded & {"numpy", "scipy", "openvino", "pydantic", "PIL", "simplejpeg", "kafka"}


def test_the_package_exports_what_it_names() -> None:
    assert assay.engine.Client is Client
    assert all(getattr(assay.engine, name) is not None for name in assay.engine.__all__)
    assert set(assay.engine.__all__) <= set(dir(assay.engine))
    assert sorted(assay.engine._HOMES) == sorted(assay.engine.__all__)
    with pytest.raises(AttributeError, match=r"module 'assay\.engine' has no attribute 'Nonsense'"):
        assay.engine.Nonsense  # noqa: B018


def test_an_id_that_is_too_long_is_a_sentence(client: Client) -> None:
    long = "i" * ((1 << 20) + 1)
    for call in (lambda: client.score(b"x", long), lambda: list(client.score_many([(long, b"x")]))):
        with pytest.raises(AssayError, match="an id of 1048577 bytes was sent; ids may have 1048576"):
            call()


def test_what_is_no_image_is_raised_to_the_caller(client: Client) -> None:
    with pytest.raises(TypeError):
        list(client.score_many([("a", b"x"), ("b", "no bytes")]))  # type: ignore[list-item]
