"""How a server ends: in order, in time, and with the exit code that says why. Real processes, a stub core."""

import json
import resource
import signal
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.server import TESTS, Server

from assay.engine.client import Client
from assay.engine.outcome import Verdict

STUB_SERVER = str(TESTS / "support" / "stub_server.py")


def serve(scenario: str = "plain", **settings: float) -> Server:
    return Server(STUB_SERVER, scenario, json.dumps(settings))


def until(condition, seconds: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_returns(number: signal.Signals) -> None:
    with serve() as server:
        with Client(f"127.0.0.1:{server.grpc}") as client:
            assert isinstance(client.score(b"x"), Verdict)
        assert server.get("/readyz")[0] == 200
        server.signal(number)
        assert server.wait() == 0
    assert server.out.split() == ["start", "drain", "stop", "returned"]
    assert "Traceback" not in server.err


def test_for_the_delay_it_is_not_ready_but_serves() -> None:
    with serve(delay=2.0) as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.signal()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        until(lambda: server.get("/readyz")[0] == 503)
        assert server.get("/livez")[0] == 200
        with Client(f"127.0.0.1:{server.grpc}") as client:
            assert isinstance(client.score(b"x"), Verdict)
        assert "drain" not in server.out
        assert server.wait() == 0


def test_what_was_received_is_answered_before_the_end() -> None:
    with serve("held") as server, Client(f"127.0.0.1:{server.grpc}") as client:
        outcomes = client.score_many((str(n), b"x") for n in range(50))
        threading.Timer(1, server.signal).start()
        assert {outcome.id for outcome in outcomes} == {str(n) for n in range(50)}
        assert server.wait() == 0


def test_a_lost_engine_ends_the_process_without_a_drain() -> None:
    with serve("engine lost") as server:
        assert server.wait() == 1
    assert server.out.split() == ["start", "stop"]
    assert "raised EngineFault: no worker is left" in server.err
    assert "Traceback" not in server.err


def test_a_lost_broker_ends_the_process_but_what_was_received_is_answered() -> None:
    with serve("broker lost") as server:
        assert server.wait() == 1
    assert server.out.split() == ["start", "drain", "stop"]
    assert "raised SetupError: the broker is gone" in server.err


def test_a_door_that_hangs_does_not_outlive_the_limit() -> None:
    with serve("hangs", timeout=2.0) as server:
        server.grpc  # noqa: B018  started
        until(lambda: "start" in server.out)
        start = time.monotonic()
        server.signal()
        assert server.wait() == 1
        assert 1.5 < time.monotonic() - start < 6
    assert "not drained within 2 s" in server.err


def test_a_second_signal_ends_at_once() -> None:
    with serve("hangs") as server:
        server.grpc  # noqa: B018  started
        until(lambda: "start" in server.out)
        time.sleep(0.2)
        server.signal()
        until(lambda: "drain" in server.out)
        server.signal()
        assert server.wait(5) == -signal.SIGTERM


def test_it_takes_as_many_descriptors_as_it_may() -> None:
    with serve() as server:
        assert server.grpc
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
