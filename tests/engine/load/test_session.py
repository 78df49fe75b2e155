"""`assay bench` as people call it: on servers that it starts or that run, and what it says when it cannot."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bundles import plain_bundle
from support.command import assay, exit_code
from support.kafka import Topics, wait_until
from support.secured import TOKEN, Files, grpc_door
from support.server import Server
from support.stub_core import StubCore

from assay.bench.broker import Broker
from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import SetupError
from assay.engine.load.images import from_size
from assay.engine.load.place import Place
from assay.engine.load.result import Result, Round, WayName
from assay.engine.load.server import variables
from assay.engine.load.session import STOPPED, Plan, Rate, Session
from assay.engine.load.summary import CLIENT
from assay.engine.load.usage import below, command
from assay.engine.load.ways import Ways
from assay.engine.settings import Limits, Settings

SHORT = ("--seconds", "0.3", "--warm-up", "0.1", "--images", "3", "--size", "48x40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def served() -> Iterator[str]:
    """The address of a server in this process, over the stub core."""
    core = StubCore()
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0"))  # type: ignore[arg-type]
    door.start()
    yield f"127.0.0.1:{door.port}"
    door.stop()
    core.stop()


def found(*arguments: object) -> Result:
    return Result.model_validate_json(assay("bench", "--json", *SHORT, *arguments).stdout)


def test_servers_and_an_engine_that_it_starts(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = found(
        *("--bundle", folder, "--workers", "1", "--over", "stream", "--over", "folder"),
        *("--outstanding", "4", "--rates", "20,50%", "--report", page),
    )
    assert [way.way for way in result.ways] == ["stream", "folder"]
    for way in result.ways:
        assert way.started
        assert way.bundle == "brightness 1.0.0"
        assert "brightness 1.0.0 with OpenVINO" in (way.runs or "")
        closed, fixed, share = way.rounds
        assert (closed.loop, closed.outstanding, closed.rate) == ("closed", 4, None)
        assert fixed.rate == 20
        assert share.rate == pytest.approx(closed.images_per_second / 2)
        assert closed.latency
        assert closed.outcomes.verdicts == closed.sent == closed.latency.images
        assert {"queue", "held", "decode", "view", "classify"} <= closed.stages.keys()
        assert way.peak_memory.keys() == {"front", "workers"} | ({"client"} if way.way == "stream" else set())
    assert "<svg" in page.read_text("utf-8")
    assert result.ended is None


def check_open(measured: Round, images: int) -> None:
    """All were sent, unless this machine was too busy for it: then that is said."""
    assert measured.sent == images or (measured.problem or "").startswith(CLIENT)


def test_a_server_that_runs(served: str) -> None:
    result = found("--grpc", served, "--rates", "30", "--outstanding", "4")
    [way] = result.ways
    assert (way.place, way.started, way.runs, way.bundle) == (served, False, None, "first 1.0.0")
    assert way.rounds[0].outcomes.verdicts == way.rounds[0].sent > 0
    check_open(way.rounds[1], 9)
    [way] = found("--grpc", served, "--rates", "", "--bundle", "second", "--over", "stream").ways
    assert way.bundle == "second 1.0.0"


def test_a_server_behind_tls_and_a_token(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own = Files(tmp_path)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with grpc_door(tokens_file=own.tokens, **own.tls(mutual=True)) as port:
        certificate, key = own.issue("client")
        secured = [
            *("--grpc", f"localhost:{port}", "--rates", "", "--over", "unary", "--over", "stream"),
            *("--ca-file", own.authority, "--certificate-file", certificate, "--key-file", key),
        ]
        unary, stream = found(*secured, "--token-file", token).ways
        assert unary.rounds[0].outcomes.verdicts > 0
        assert stream.rounds[0].outcomes.verdicts > 0
        assert exit_code("bench", *SHORT, *secured) == 2
        assert "token" in capfd.readouterr().err


def test_kafka_with_a_server_that_it_starts(broker: Broker, folder: Path) -> None:
    topics = Topics(broker).create()
    [way] = found(*on(topics), "--serve", "--bundle", folder, "--workers", "1", "--rates", "40").ways
    assert way.started
    assert way.rounds[0].outcomes.verdicts == way.rounds[0].sent > 0
    check_open(way.rounds[1], 12)
    assert way.peak_memory.keys() == {"front", "workers", "client"}


def on(topics: Topics) -> list[str]:
    return [
        *("--kafka", topics.broker.bootstrap, "--in", topics.input),
        *("--out", topics.output, "--rejects", topics.rejects),
    ]


def test_ctrl_c_ends_it_with_code_130_and_leaves_no_server(folder: Path) -> None:
    code = "from assay.engine.commands.app import main; main()"
    options = ["--bundle", str(folder), "--workers", "0", "--images", "3", "--size", "48x40", "--json"]
    with Server("-c", code, "bench", "--seconds", "600", *options) as process:
        wait_until(lambda: any("serve" in command(pid) for pid in below(process.process.pid)), 60)
        children = below(process.process.pid)
        process.signal(signal.SIGINT)
        assert process.wait(60) == 130, process.err
        assert Result.model_validate_json(process.out).ended == STOPPED
        assert not process.err
        assert not any("serve" in command(pid) for pid in children)


def test_ctrl_c_gives_what_is_known(served: str) -> None:
    """Pressed when the second loop begins."""
    plan = Plan([WayName.UNARY], [Rate(20)], outstanding=2, warm_up=0.0, seconds=0.5)
    ways = Ways(from_size(48, 40, 2), "none", Settings(), grpc=Place(served))

    def watch(what: str, seconds: float, answered: int) -> None:
        if what == "unary: 20/s":
            raise KeyboardInterrupt

    result = Session(plan, ways, [("assay", "0")], watch).run()
    assert result.ended == STOPPED
    closed, *others = result.ways[0].rounds
    assert closed.outcomes.verdicts == closed.sent > 0
    assert all(each.sent < 10 for each in others)


WRONG: dict[str, tuple[list[str], str]] = {
    "nobody there": (["--grpc", "127.0.0.1:1"], "127.0.0.1:1: failed to connect"),
    "address": (["--grpc", "nowhere"], "the gRPC address 'nowhere' is not HOST:PORT"),
    "rates": (["--rates", "10,fast"], "option --rates: 'fast' is neither images/s, such as 50, nor a share"),
    "no rate": (["--rates", "-5"], "option --rates: '-5' is neither"),
    "impossible rate": (
        ["--rates", "1e9"],
        "1,000,000,000 images/s for 0.4 s are more than the 1,000,000 images",
    ),
    "size": (["--size", "tall"], "option --size: 'tall' is no WIDTHxHEIGHT of at most 50 megapixels"),
    "seconds": (["--seconds", "0"], "option --seconds: 0 s are not between 0.1 and 86400"),
    "no folder": (["/nowhere"], "/nowhere does not exist"),
    "token": (["--token-file", "x"], "TLS and --token-file belong to --grpc HOST:PORT"),
    "page": (["--report", "/nowhere/page.html"], "/nowhere/page.html cannot be written"),
    "bundle of another's": (
        ["--kafka", "a:1", "--in", "a", "--out", "b", "--rejects", "c", "--bundle", "second"],
        "--bundle belongs to a server that is started: give --serve",
    ),
    "bundle": (["--bundle", "nothing-like-it"], "the server did not start: "),
    "no topics": (["--over", "kafka"], "kafka"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    options, sentence = WRONG[name]
    assert exit_code("bench", *SHORT, *options) == 2
    out, err = capfd.readouterr()
    assert not out
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_an_empty_folder_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("bench", tmp_path) == 2
    assert capfd.readouterr().err == f"assay: there is no file to send in {tmp_path}\n"


def test_images_without_verdicts_have_no_share(
    served: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_bytes(b"bad")
    assert exit_code("bench", tmp_path, "--grpc", served, *SHORT) == 2
    out, err = capfd.readouterr()
    assert "no image had a verdict, so there is no share" in err
    assert "undecodable" in out  # what was measured is shown


def test_a_server_that_is_killed_ends_it_with_what_is_known(folder: Path) -> None:
    plan = Plan([WayName.STREAM], [Rate(1000)], outstanding=2, warm_up=0.0, seconds=0.5)
    ways = Ways(from_size(48, 40, 2), str(folder), Settings(workers=0))

    def watch(what: str, seconds: float, answered: int) -> None:
        if what == "stream: 1,000/s":
            for pid in [each for each in below(os.getpid()) if "serve" in command(each)]:
                os.kill(pid, signal.SIGKILL)

    session = Session(plan, ways, [("assay", "0")], watch)
    with pytest.raises(SetupError, match="the server ended: signal 9"):
        session.run()
    assert session.result("gone").ways[0].rounds[0].latency


def test_settings_reach_the_server_and_doors_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(workers=3, devices=(0, 1), limits=Limits(max_bytes=1000), precision="fp32")
    given = variables(settings, "ASSAY_")
    assert given["ASSAY_DEVICES"] == "[0, 1]"
    assert given["ASSAY_LIMITS__MAX_BYTES"] == "1000"
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    kafka: dict[str, Any] = {"brokers": "a:1", "input": "a", "output": "b", "rejects": "c", "group": "d"}
    secret = KafkaSettings(
        **kafka, security="SASL_SSL", username="u", password="p", reference_roots="s3://a/"
    )
    given = variables(secret, "ASSAY_KAFKA_")
    assert given["ASSAY_KAFKA_PASSWORD"] == "p"
    assert given["ASSAY_KAFKA_REFERENCE_ROOTS"] == "s3://a/"
