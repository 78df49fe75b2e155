"""What the gRPC door does when the engine has no time, and when it ends under calls that do not stop."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.stub_core import StubCore

from assay.engine.client import Client
from assay.engine.doors.grpc import GrpcDoor, service
from assay.engine.doors.grpc.connections import close_connections
from assay.engine.outcome import Rejection, Verdict
from assay.engine.wire.assay.v1 import scoring_pb2 as pb

METHOD = "/assay.v1.ScoringService/Score"
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def request(data: bytes) -> pb.ScoreRequest:
    return pb.ScoreRequest(image=pb.Image(data=data))


def test_a_call_is_refused_before_its_message_is_there(channel: grpc.Channel, core: StubCore) -> None:
    core.refusing = 1.5
    never = threading.Event()

    def unsent() -> Iterator[bytes]:
        never.wait(30)
        yield from ()

    try:
        with pytest.raises(grpc.RpcError) as error:
            channel.stream_unary(METHOD)(unsent(), timeout=20)
    finally:
        never.set()
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    hints = {each.key: each.value for each in error.value.trailing_metadata()}
    assert hints["grpc-retry-pushback-ms"] == "1500"
    assert hints["assay-reason"] == "overloaded"
    assert core.taken == []


def test_the_client_comes_again_when_it_is_told_to(
    door: GrpcDoor, core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = iter([0.05, 0.01])
    monkeypatch.setattr(core, "pause", lambda coming=0: next(hints, None))
    with Client(f"127.0.0.1:{door.port}") as client:
        assert isinstance(client.score(b"x"), Verdict)
        core.refusing = 0.01
        monkeypatch.undo()
        refused = client.score(b"x")
    assert isinstance(refused, Rejection)
    assert refused.reason == "overloaded"


def test_a_call_without_a_message_is_an_invalid_argument(channel: grpc.Channel, core: StubCore) -> None:
    with pytest.raises(grpc.RpcError) as error:
        channel.stream_unary(METHOD)(iter([]), timeout=20)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "the call ended without a message"
    assert core.taken == []


def test_a_drain_under_calls_that_never_pause_cancels_none(
    channel: grpc.Channel, core: StubCore, door: GrpcDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "QUIET", 60.0)  # a pause that no machine makes
    score = channel.unary_unary(METHOD)
    message = request(b"x" * 10_000).SerializeToString()
    calls: list[grpc.Future] = []
    drained = threading.Event()

    def endless() -> None:
        while not drained.wait(0.003):
            calls.append(score.future(message, timeout=20))

    thread = threading.Thread(target=endless)
    thread.start()
    door.drain(10)
    drained.set()
    thread.join()
    codes = Counter(call.code() for call in calls)  # type: ignore[attr-defined]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert codes[grpc.StatusCode.OK] == len(core.taken)


def test_a_client_that_looks_at_health_sees_no_error_in_a_drain(
    channel: grpc.Channel, core: StubCore, door: GrpcDoor
) -> None:
    score = channel.unary_unary(METHOD)
    message = request(b"x").SerializeToString()
    leave = threading.Event()
    codes: list[grpc.StatusCode] = []

    def watch() -> None:
        with contextlib.suppress(grpc.RpcError):
            for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                if answer.status == NOT_SERVING:
                    leave.set()

    def ask() -> None:
        while not leave.is_set():
            call = score.future(message, timeout=20)
            codes.append(call.code())

    threads = [threading.Thread(target=each) for each in (watch, *[ask] * 8)]
    for thread in threads:
        thread.start()
    door.not_serving()  # the moment that `assay serve` leaves to its clients, as long as this one needs
    for thread in threads[1:]:
        thread.join(20)
    door.drain(10)
    threads[0].join(20)
    assert set(codes) == {grpc.StatusCode.OK}
    assert len(codes) == len(core.taken)


def test_only_the_sockets_of_the_port_are_closed() -> None:
    with contextlib.ExitStack() as stack:
        ours, other = (
            stack.enter_context(socket.create_server(("127.0.0.1", 0), family=socket.AF_INET))
            for _ in range(2)
        )
        port = ours.getsockname()[1]
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        served, _ = ours.accept()
        stack.enter_context(served)
        close_connections(port)
        assert client.recv(1) == b""
        with pytest.raises(OSError, match="Invalid argument"):
            ours.accept()
        with socket.create_connection(other.getsockname()) as fine:
            answer, _ = other.accept()
            with answer:
                answer.sendall(b"x")
                assert fine.recv(1) == b"x"
        close_connections(port)
