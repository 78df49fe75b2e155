"""The HTTP door: probes, metrics, and what strangers may send to an open port."""

import http.client
import logging
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.stub_core import Switch

from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.doors.http import connection as http_connection
from assay.engine.doors.http import door as http_module
from assay.engine.doors.http.connection import Request
from assay.engine.errors import SetupError


@pytest.fixture
def door(ready: Switch) -> Iterator[HttpDoor]:
    door = HttpDoor(HttpSettings(address="127.0.0.1:0"), ready)
    door.start()
    yield door
    door.stop()


def ask(door: HttpDoor, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_alive_whether_ready_or_not(door: HttpDoor, ready: Switch) -> None:
    assert ask(door, "/livez")[0] == 200
    assert ask(door, "/readyz") == (200, b"ready\n")
    ready.on = False
    assert ask(door, "/livez")[0] == 200
    assert ask(door, "/readyz")[0] == 503
    assert ask(door, "/readyz?verbose")[0] == 503


def test_metrics_are_what_prometheus_reads(door: HttpDoor) -> None:
    import assay.engine.telemetry  # noqa: F401

    status, body = ask(door, "/metrics")
    assert status == 200
    assert "assay_budget_bytes" in {family.name for family in text_string_to_metric_families(body.decode())}


def test_head_has_no_body_and_strangers_get_short_answers(door: HttpDoor) -> None:
    assert ask(door, "/livez", "HEAD") == (200, b"")
    assert ask(door, "/nonsense")[0] == 404
    assert ask(door, "/livez", "POST")[0] == 501


def test_a_silent_connection_holds_nobody_up(door: HttpDoor) -> None:
    with socket.create_connection(("127.0.0.1", door.port)):
        assert ask(door, "/livez")[0] == 200


def test_a_taken_port_is_one_sentence(door: HttpDoor, ready: Switch) -> None:
    with pytest.raises(
        SetupError, match=rf"HTTP cannot listen on 127\.0\.0\.1:{door.port}: Address already in use"
    ):
        HttpDoor(HttpSettings(address=f"127.0.0.1:{door.port}"), ready).start()


def test_the_port_is_free_after_stop(door: HttpDoor, ready: Switch) -> None:
    door.drain(1)
    door.stop()
    door.stop()
    again = HttpDoor(HttpSettings(address=f"127.0.0.1:{door.port}"), ready)
    again.start()
    again.stop()


def connect(door: HttpDoor, sent: bytes = b"") -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", door.port), timeout=20)
    peer.sendall(sent)
    return peer


def everything(peer: socket.socket) -> bytes:
    """What comes until the door closes the connection."""
    received = b""
    while data := peer.recv(1 << 16):
        received += data
    return received


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("sent", [b"", b"GET /li"], ids=["nothing", "half a request"])
def test_connections_that_are_opened_and_left_keep_nobody_out(door: HttpDoor, sent: bytes) -> None:
    with ExitStack() as left:
        for _ in range(http_module.MOST + 100):
            left.enter_context(connect(door, sent))
        assert ask(door, "/livez")[0] == 200


def test_who_makes_room_is_told_if_it_was_asking(door: HttpDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "MOST", 2)
    monkeypatch.setattr(http_module, "GRACE", 0.0)
    with connect(door, b"GET /li") as asking, connect(door) as silent:
        for _ in range(3):
            assert ask(door, "/livez")[0] == 200
        assert statuses(everything(asking)) in ([503], [])  # it is closed, at the latest now
        assert everything(silent) == b""


def test_who_takes_too_long_is_told_if_it_was_asking(door: HttpDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "PATIENCE", 0.2)
    with connect(door, b"GET /li") as asking, connect(door) as silent:
        assert statuses(everything(asking)) == [408]
        assert everything(silent) == b""


def test_a_connection_that_is_reset_is_no_event(door: HttpDoor, caplog: pytest.LogCaptureFixture) -> None:
    for sent in (b"", b"GET /li", b"GET /metrics HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"):
        peer = connect(door, sent)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    assert ask(door, "/livez")[0] == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (b"GET /", b"a", 414),
        (b"", b"\0", 414),
        (b"GET /livez HTTP/1.1\r\nA: ", b"a", 431),
        (b"GET /livez HTTP/1.1\r\n", b"A: b\r\n", 431),
    ],
    ids=["line", "noise", "header", "headers"],
)
def test_a_request_that_does_not_end_is_refused(
    door: HttpDoor, start: bytes, more: bytes, status: int
) -> None:
    with connect(door, start + more * (500_000 // len(more))) as peer:
        assert statuses(everything(peer)) == [status]


def test_a_hundred_headers_and_one_more_are_refused(door: HttpDoor) -> None:
    headers = b"".join(b"A%d: b\r\n" % n for n in range(101))
    with connect(door, b"GET /livez HTTP/1.1\r\n" + headers + b"\r\n") as peer:
        assert statuses(everything(peer)) == [431]


def test_requests_may_come_in_pieces_and_many_at_once(door: HttpDoor) -> None:
    pages = [b"/livez", b"/nonsense", b"/readyz"] * 300
    requests = [b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % page for page in pages]
    requests.append(b"GET /livez HTTP/1.1\nConnection: close\n\n")
    with connect(door) as peer:
        for part in b"".join(requests).partition(b"sense HTT"):
            peer.sendall(part)
        assert statuses(everything(peer)) == [200, 404, 200] * 300 + [200]


def test_who_asks_much_and_reads_nothing_keeps_nobody_waiting(door: HttpDoor) -> None:
    with connect(door) as greedy:
        greedy.settimeout(0.2)
        with pytest.raises(TimeoutError):  # the door does not read where its answers are not read
            greedy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 10_000_000)
        assert ask(door, "/livez")[0] == 200


@pytest.mark.parametrize("framing", [b"Content-Length: 200000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"POST", 501)])
def test_a_body_is_no_further_request(door: HttpDoor, framing: bytes, method: bytes, status: int) -> None:
    body = b"GET /livez HTTP/1.1\r\n\r\n" * 8000
    with connect(door, method + b" /livez HTTP/1.1\r\n" + framing + b"\r\n\r\n" + body) as peer:
        assert statuses(everything(peer)) == [status]


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_bytes_are_a_defect(data: bytes) -> None:
    for head in (
        data,
        b"GET " + data + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: text/plain; version=" + data + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: " + data + b"\r\n\r\n",
    ):
        Request(head, lambda: True)


FEW_DESCRIPTORS = """
import logging, resource, sys, time
from assay.engine.doors.http import HttpDoor, HttpSettings
logging.basicConfig()
door = HttpDoor(HttpSettings(address="127.0.0.1:0"), lambda: True)
door.start()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(door.port, flush=True)
sys.stdin.read()
"""


def test_without_descriptors_the_oldest_connection_makes_room() -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", FEW_DESCRIPTORS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        ExitStack() as left,
    ):
        assert process.stdout is not None
        port = int(process.stdout.readline())
        for _ in range(60):
            left.enter_context(socket.create_connection(("127.0.0.1", port)))
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/livez")
            assert connection.getresponse().status == 200
            connection.close()
        _, said = process.communicate("")
    assert said.count("cannot accept connections for now: Too many open files") == 1
    assert "Traceback" not in said
