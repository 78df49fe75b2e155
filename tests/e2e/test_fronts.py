"""`assay serve --fronts 2`: one server to everybody outside, whatever happens to a front."""

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.bundles import plain_bundle
from support.images import encode, photograph
from support.kafka import Topics, place, wait_until
from support.secured import OTHER, TOKEN, Files, trusting
from support.serve import ASSAY, kafka_options
from support.server import Server

from assay.bench.broker import Broker
from assay.engine.client import Client
from assay.engine.errors import AssayError
from assay.engine.outcome import Rejection, Verdict
from assay.engine.wire.assay.v1 import scoring_pb2, scoring_pb2_grpc
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.inference import service_pb2_grpc

OPEN = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1", "--fronts", "2")
ASKED = pb.ModelStatisticsRequest(name="brightness")
OWN = [("grpc.use_local_subchannel_pool", 1)]  # else there is one connection for all channels
CALLERS = 8  # connections, so that with near certainty each front has one


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def fronts_of(server: Server) -> list[int]:
    """Process ids of the fronts that live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == server.process.pid and b"assay.engine.fronts" in command:
            found.append(int(folder.name))
    return sorted(found)


def metric(server: Server, name: str) -> float:
    """The sum of a metric over its labels."""
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", server.get("/metrics")[1], re.MULTILINE)
    return sum(map(float, values))


def started(*arguments: str) -> Server:
    return Server(ASSAY, "serve", *arguments)


@pytest.fixture
def server(bundle: Path) -> Iterator[Server]:
    with started("--bundle", str(bundle), *OPEN, "--cache-mib", "0") as running:
        until(lambda: metric(running, "assay_fronts") == 2)
        yield running


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return plain_bundle(tmp_path / "bundle")


class Callers:
    """Connections that each send images, a few at a time, until the end; every one gets its own outcome."""

    def __init__(self, port: int) -> None:
        self.answered = Counter[int]()
        self.wrong: list[object] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(port, n)) for n in range(CALLERS)]

    def _run(self, port: int, caller: int) -> None:
        with Client(f"127.0.0.1:{port}") as client:
            data = encode(photograph(48, 64, seed=caller))
            while not self._end.is_set():
                id = f"{caller}/{self.answered[caller]}"
                try:
                    outcome = client.score(data, id=id)
                except Exception as error:
                    self.wrong.append(error)
                    return
                if not isinstance(outcome, Verdict) or outcome.id != id:
                    self.wrong.append(outcome)
                self.answered[caller] += 1

    def all_go_on(self) -> None:
        """Returns when each has had another answer."""
        before = dict(self.answered)
        until(lambda: self.wrong or all(self.answered[n] > before.get(n, 0) for n in range(CALLERS)))
        assert not self.wrong

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)


def test_one_that_is_killed_is_replaced_and_its_callers_try_again(server: Server) -> None:
    with Callers(server.grpc) as callers:
        callers.all_go_on()
        before = fronts_of(server)
        assert len(before) == 2
        counted = metric(server, "assay_outcomes_total")
        os.kill(before[0], signal.SIGKILL)
        until(lambda: metric(server, "assay_front_restarts_total") == 1)
        until(lambda: metric(server, "assay_fronts") == 2)
        assert metric(server, "assay_outcomes_total") >= counted
        callers.all_go_on()
    assert before[1] in fronts_of(server)
    until(lambda: metric(server, "assay_budget_used_bytes") == 0)
    server.signal()
    assert server.wait() == 0
    assert "Traceback" not in server.err


@pytest.mark.full
def test_a_stream_that_is_cut_off_leaves_nothing_behind(server: Server) -> None:
    data = [encode(photograph(480, 640, seed=n)) for n in range(4)]
    with Client(f"127.0.0.1:{server.grpc}") as client:
        outcomes = client.score_many((str(n), data[n % 4]) for n in range(100_000))
        next(outcomes)
        for front in fronts_of(server):
            os.kill(front, signal.SIGKILL)
        until(lambda: metric(server, "assay_budget_used_bytes") == 0)
        until(lambda: metric(server, "assay_fronts") == 2)
        with suppress(AssayError):  # it says that it was cut off, or goes on
            for _ in range(1000):
                next(outcomes)
    with Client(f"127.0.0.1:{server.grpc}") as client:
        assert isinstance(client.score(data[0]), Verdict)


def test_what_was_received_is_answered_before_the_end(server: Server) -> None:
    data = [encode(photograph(480, 640, seed=n)) for n in range(4)]
    with Client(f"127.0.0.1:{server.grpc}") as client:
        outcomes = client.score_many((str(n), data[n % 4]) for n in range(60))
        first = next(outcomes)
        server.signal()
        found = {first.id}
        try:
            found |= {outcome.id for outcome in outcomes}
        except Exception as error:
            assert "draining" in str(error)  # noqa: PT017  the rest was not read
        assert len(found) >= 1
    assert server.wait() == 0
    assert "Traceback" not in server.err


@pytest.mark.full
def test_health_says_first_that_the_end_is_near(bundle: Path) -> None:
    os.environ["ASSAY_SERVE_DELAY"] = "2"
    try:
        running = started("--bundle", str(bundle), *OPEN)
    finally:
        del os.environ["ASSAY_SERVE_DELAY"]
    with running as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        until(lambda: metric(server, "assay_fronts") == 2)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.signal()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.get("/livez")[0] == 200
        with Client(f"127.0.0.1:{server.grpc}") as client:
            assert isinstance(client.score(encode(photograph(48, 64))), Verdict)
        assert server.wait() == 0


def test_bundles_change_for_all_fronts_before_the_call_returns(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    first = plain_bundle(repository / "brightness")
    plain_bundle(repository / "other", "other")
    more = ("--repository", str(repository), "--bundle", str(first))
    with started(*more, *OPEN) as server:
        until(lambda: metric(server, "assay_fronts") == 2)
        data = encode(photograph(48, 64))
        clients = [Client(f"127.0.0.1:{server.grpc}", bundle="other") for _ in range(CALLERS)]
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            states = {one.name: one.state for one in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models}
            assert states == {"brightness": "READY", "other": "UNAVAILABLE"}
            for _ in range(2):
                stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="other"))
                for client in clients:
                    assert isinstance(client.score(data), Verdict)
                stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="other"))
                for client in clients:
                    with pytest.raises(Exception, match="'other' is not served here"):
                        client.score(data)
            with pytest.raises(grpc.RpcError, match="alone is served"):
                stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="brightness"))
        for client in clients:
            client.close()
        server.signal()
        assert server.wait() == 0


def test_what_doors_refuse_is_counted_once(server: Server) -> None:
    clients = [Client(f"127.0.0.1:{server.grpc}") for _ in range(CALLERS)]
    for client in clients:
        assert isinstance(client.score(b"no image"), Rejection)
        assert isinstance(client.score(encode(photograph(48, 64))), Verdict)
        client.close()
    until(lambda: metric(server, "assay_outcomes_total") == 2 * CALLERS)
    for front in fronts_of(server):
        os.kill(front, signal.SIGKILL)
    until(lambda: metric(server, "assay_front_restarts_total") == 2)
    assert metric(server, "assay_outcomes_total") == 2 * CALLERS


def test_any_front_knows_the_statistics_of_all(server: Server) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(encode(photograph(48, 64)))
    request = pb.ModelInferRequest(model_name="brightness", inputs=[tensor])
    with ExitStack() as stack:
        address = f"127.0.0.1:{server.grpc}"
        channels = [stack.enter_context(grpc.insecure_channel(address, OWN)) for _ in range(CALLERS)]
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]
        for stub in stubs:
            stub.ModelInfer(request)
        for stub in stubs:
            until(lambda stub=stub: stub.ModelStatistics(ASKED).model_stats[0].inference_count == CALLERS)  # type: ignore[misc]


class Secured:
    """Connections, so many that with near certainty each front has one, to a server that wants certificates
    of its clients, and tokens."""

    def __init__(self, port: int, files: Files, stack: ExitStack) -> None:
        self._address = f"localhost:{port}"
        self._files = files
        self._stack = stack
        self.own = files.issue("client")

    def clients(self, token: str | None, own: tuple[Path, Path] | None) -> list[Client]:
        credentials = trusting(self._files.authority, own)
        made = [Client(self._address, credentials=credentials, token=token) for _ in range(CALLERS)]
        return [self._stack.enter_context(client) for client in made]

    def once(self, token: str, data: bytes) -> list[grpc.StatusCode]:
        """What becomes of a call of each connection that is not tried again."""
        metadata = [("authorization", f"Bearer {token}")]
        request = scoring_pb2.ScoreRequest(image=scoring_pb2.Image(data=data))
        found = []
        for _ in range(CALLERS):
            channel = grpc.secure_channel(self._address, trusting(self._files.authority, self.own), OWN)
            stub = scoring_pb2_grpc.ScoringServiceStub(self._stack.enter_context(channel))  # type: ignore[no-untyped-call]
            try:
                stub.Score(request, metadata=metadata, timeout=60)
                found.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                found.append(error.code())
        return found


def test_each_front_asks_for_certificates_and_tokens(tmp_path: Path, bundle: Path) -> None:
    files = Files(tmp_path)
    files.tokens.write_text(f"free {TOKEN}\nslow {OTHER} 0.00001\n")
    config = tmp_path / "assay.toml"
    config.write_text(
        f"[grpc]\ncertificate_file = '{files.server[0]}'\nkey_file = '{files.server[1]}'\n"
        f"client_ca_file = '{files.authority}'\ntokens_file = '{files.tokens}'\n"
    )
    image = encode(photograph(48, 64))
    with started("--bundle", str(bundle), "--config", str(config), *OPEN) as server, ExitStack() as stack:
        until(lambda: metric(server, "assay_fronts") == 2)
        secured = Secured(server.grpc, files, stack)
        good = secured.clients(TOKEN, secured.own)
        for client in good:
            assert isinstance(client.score(image), Verdict)
            assert [type(one) for one in client.score_many([("a", image), ("b", b"no")])] in (
                [Verdict, Rejection],
                [Rejection, Verdict],
            )
        for token in (None, "not-a-token-of-this-server"):
            for client in secured.clients(token, secured.own):
                with pytest.raises(AssayError, match="token"):
                    client.score(image)
        for client in secured.clients(TOKEN, None):
            with pytest.raises(AssayError):
                client.score(image)
        slow = secured.once(OTHER, image)
        assert 1 <= slow.count(grpc.StatusCode.OK) <= 2  # each front counts for itself
        assert set(slow) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}

        os.kill(fronts_of(server)[0], signal.SIGKILL)
        until(lambda: metric(server, "assay_front_restarts_total") == 1)
        until(lambda: metric(server, "assay_fronts") == 2)
        for client in good:
            assert isinstance(client.score(image), Verdict)
        for client in secured.clients(None, secured.own):
            with pytest.raises(AssayError, match="token"):
                client.score(image)
        server.signal()
        assert server.wait() == 0
    assert TOKEN not in server.err
    assert "Traceback" not in server.err


def test_fronts_end_with_the_engine(server: Server) -> None:
    fronts = fronts_of(server)
    server.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in fronts))


def test_a_front_that_cannot_open_its_doors_ends_the_server_with_its_sentence(bundle: Path) -> None:
    lost = ("--kafka", "127.0.0.1:1", "--in", "a", "--out", "b", "--rejects", "c", "--group", "d")
    with started("--bundle", str(bundle), *OPEN, *lost) as server:
        assert server.wait(60) == 2
    assert "127.0.0.1:1" in server.err
    assert "Traceback" not in server.err


def test_a_front_is_replaced_while_brokers_are_away(tmp_path: Path, bundle: Path) -> None:
    """It takes calls at once, and records when there are brokers again."""
    image = encode(photograph(48, 64))
    with Broker(tmp_path / "kafka") as broker:
        topics = Topics(broker, partitions=4).create()
        sent = topics.send([image] * 20)
        with started("--bundle", str(bundle), *OPEN, *kafka_options(topics.settings())) as server:
            wait_until(lambda: topics.lag() == 0, 120)
            broker.kill()
            for front in fronts_of(server):
                os.kill(front, signal.SIGKILL)
            until(lambda: metric(server, "assay_front_restarts_total") == 2)
            until(lambda: metric(server, "assay_fronts") == 2)
            until(lambda: server.get("/readyz")[0] == 200)
            with Client(f"127.0.0.1:{server.grpc}") as client:
                assert isinstance(client.score(image), Verdict)
            until(lambda: server.err.count("; trying again") >= 8, 120)  # each of the two, of two clients
            broker.start()
            sent += topics.send([image] * 20)
            wait_until(lambda: topics.lag() == 0, 120)
            assert metric(server, "assay_front_restarts_total") == 2
            server.signal()
            assert server.wait(60) == 0
        assert {place(record) for record in topics.answers()} == set(sent)


@pytest.mark.parametrize("delivery", [pytest.param("at-least-once", marks=pytest.mark.full), "exactly-once"])
def test_killed_members_of_a_consumer_group_lose_no_record(
    bundle: Path, broker: Broker, delivery: str
) -> None:
    topics = Topics(broker, partitions=4).create()
    image = encode(photograph(48, 64))
    sent = topics.send([image if n % 5 else b"no image" for n in range(400)])
    own = (*kafka_options(topics.settings()), "--delivery", delivery)
    with started("--bundle", str(bundle), *OPEN, *own) as server:
        until(lambda: metric(server, "assay_fronts") == 2)
        until(lambda: len(topics.committed()) > 0)
        os.kill(fronts_of(server)[0], signal.SIGKILL)
        sent += topics.send([image if n % 5 else b"no image" for n in range(400)])
        wait_until(lambda: topics.lag() == 0, 60)
        assert metric(server, "assay_front_restarts_total") == 1
        server.signal()
        assert server.wait() == 0
    if delivery == "exactly-once":
        topics.check_exactly_once(sent)
    else:
        assert {place(record) for record in topics.answers()} == set(sent)
