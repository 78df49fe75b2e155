"""The HTTP door: probes, metrics, and what strangers may send to an open port."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.errors import SetupError


class Switch:
    on = True

    def __call__(self) -> bool:
        return self.on


@pytest.fixture
def ready() -> Switch:
    return Switch()


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
