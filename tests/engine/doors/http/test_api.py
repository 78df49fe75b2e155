"""Images on the HTTP door: `POST /v1/score`, the REST form of the inference protocol, and hostile bodies."""

import base64
import http.client
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stub_core import StubCore, Switch, judge

from assay.engine.doors.http import HttpDoor, HttpSettings, bodies, places
from assay.engine.doors.http import connection as http_connection
from assay.engine.doors.http import inference as rest
from assay.engine.doors.http.api import STATUSES
from assay.engine.doors.inference.models import MOST_IMAGES
from assay.engine.doors.inference.request import join, split
from assay.engine.errors import AssayError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Reason, Verdict
from assay.engine.settings import Limits
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.pieces import MAX_MESSAGE

OUTCOME = jsonschema.Draft202012Validator(
    json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
)
MESSAGES: dict[str, Any] = json.loads((files("assay.engine") / "inference.schema.json").read_text("utf-8"))
IMAGES = [b"one", b"bad one", b"", b"three"]
INFER = "/v2/models/first/infer"


def follows(name: str, record: object) -> None:
    schema = {**MESSAGES, "$ref": f"#/$defs/{name}"}
    jsonschema.Draft202012Validator(schema).validate(record)


@pytest.fixture
def core(core: StubCore) -> StubCore:
    for bundle in core.bundles.values():
        bundle.kind = "stub"
    return core


@pytest.fixture
def door(core: StubCore, ready: Switch) -> Iterator[HttpDoor]:
    door = HttpDoor(HttpSettings(address="127.0.0.1:0"), ready, core)  # type: ignore[arg-type]
    door.start()
    yield door
    door.stop()


def ask(
    door: HttpDoor, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.headers["Content-Type"] == "application/json":
        return response.status, json.loads(content), response.headers
    return response.status, content, response.headers


def request(images: list[bytes], **fields: Any) -> dict[str, Any]:
    data = [base64.b64encode(one).decode() for one in images]
    tensor = {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": data}
    return {"inputs": [tensor], **fields}


def infer(door: HttpDoor, record: object, path: str = INFER) -> tuple[int, Any]:
    return ask(door, "POST", path, json.dumps(record).encode())[:2]


@pytest.mark.parametrize(("data", "status"), [(b"good", 200), (b"bad", 422), (b"", 400)])
def test_a_posted_image_gets_the_json_of_its_outcome(door: HttpDoor, data: bytes, status: int) -> None:
    got, record, _ = ask(door, "POST", "/v1/score?id=a%20b&bundle=second", data)
    assert got == status
    assert record == judge(Item("a b", data, "second")).to_dict()
    OUTCOME.validate(record)


def test_what_curl_sends_needs_nothing_else(door: HttpDoor, core: StubCore) -> None:
    """`curl --data-binary`: a form's content type, and above a size `Expect: 100-continue`."""
    large = b"x" * (2 << 20)
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as peer:
        peer.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(large)
        )
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(large + b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: peer.recv(1 << 16), b""))
    assert received.count(b"HTTP/1.1 200") == 2
    assert (core.taken[0].data, core.taken[0].priority) == (large, Priority.INTERACTIVE)


def test_every_reason_has_a_status_that_is_none_of_success() -> None:
    assert set(STATUSES) == set(Reason)
    assert all(status >= 400 for status in STATUSES.values())


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1/score?bundle=third", 404, "unknown_bundle"),
        ("/v1/score?bundle=third&id=%ff", 404, "unknown_bundle"),
    ],
)
def test_an_unknown_bundle_is_a_rejection(door: HttpDoor, path: str, status: int, reason: str) -> None:
    got, record, _ = ask(door, "POST", path, b"x")
    assert (got, record["rejected"]) == (status, reason)
    OUTCOME.validate(record)


def test_too_large_an_image_is_refused_before_it_is_sent(door: HttpDoor, core: StubCore) -> None:
    core.settings.limits = Limits(max_bytes=10)
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as peer:
        peer.sendall(b"POST /v1/score HTTP/1.1\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        head, _, body = b"".join(iter(lambda: peer.recv(1 << 16), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert json.loads(body)["rejected"] == "too_many_bytes"
    assert ask(door, "POST", "/v1/score", b"x" * 10)[0] == 200


def test_without_room_the_answer_says_to_come_again(door: HttpDoor, core: StubCore) -> None:
    core.room = 3
    status, record, headers = ask(door, "POST", "/v1/score", b"four")
    assert (status, record["rejected"], headers["Retry-After"]) == (503, "overloaded", "1")
    assert infer(door, request([b"four", b"five"]))[0] == 503
    status, record = infer(door, request([b"four", b"x"]))
    assert status == 200
    assert record["outputs"][3]["data"] == ["overloaded", ""]


def test_a_lost_engine_is_unavailable(door: HttpDoor, core: StubCore) -> None:
    core.fault()
    for path, body in (("/v1/score", b"x"), (INFER, json.dumps(request([b"x"])).encode())):
        status, record, _ = ask(door, "POST", path, body)
        assert status == 503
        assert "no worker is left" in record["error"]


def test_what_is_asked_before_the_first_image(door: HttpDoor, ready: Switch) -> None:
    assert ask(door, "GET", "/v2/health/live")[:2] == (200, {"live": True})
    assert ask(door, "GET", "/v2/health/ready")[:2] == (200, {"ready": True})
    assert ask(door, "GET", "/v2/models/first/ready")[:2] == (200, {"name": "first", "ready": True})
    status, server, _ = ask(door, "GET", "/v2")
    assert (status, server["name"]) == (200, "assay")
    follows("server", server)
    for path in ("/v2/models/first", "/v2/models/first/versions/1.0.0", "/v2/models/f%69rst/"):
        status, model, _ = ask(door, "GET", path)
        assert (status, model["name"], model["versions"]) == (200, "first", ["1.0.0"])
        follows("model", model)
    ready.on = False
    assert ask(door, "GET", "/v2/health/live")[0] == 200
    assert ask(door, "GET", "/v2/health/ready")[:2] == (503, {"ready": False})
    assert ask(door, "GET", "/v2/models/first/versions/1.0.0/ready")[0] == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/third", 404),
        ("GET", "/v2/models/third/ready", 404),
        ("GET", "/v2/models/first/versions/2", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/first/heat", 404),
        ("GET", "/v1/score", 405),
        ("POST", "/v2/models/third/infer", 404),
        ("POST", "/v2/models/first/versions/2/infer", 404),
        ("POST", "/v2/models//infer", 404),
        ("POST", "/v1/score?size=3", 400),
    ],
)
def test_a_wrong_path_is_an_error_in_words(door: HttpDoor, method: str, path: str, status: int) -> None:
    got, record, _ = ask(
        door, method, path, json.dumps(request([b"x"])).encode() if method == "POST" else None
    )
    assert got == status
    follows("error", record)


@pytest.mark.parametrize("nested", [False, True], ids=["[n]", "[n, 1]"])
def test_each_image_gets_its_outcome_and_a_bad_one_hurts_only_itself(door: HttpDoor, nested: bool) -> None:
    sent = request(IMAGES, id="mine", parameters={"custom": 1})
    if nested:
        tensor = sent["inputs"][0]
        tensor["shape"], tensor["data"] = [len(IMAGES), 1], [[one] for one in tensor["data"]]
    follows("request", sent)
    status, got = infer(door, sent)
    assert status == 200
    follows("response", got)
    assert (got["id"], got["model_name"], got["model_version"]) == ("mine", "first", "1.0.0")
    assert all(output["shape"] == sent["inputs"][0]["shape"] for output in got["outputs"])
    columns = {output["name"]: output["data"] for output in got["outputs"]}
    for place, data in enumerate(IMAGES):
        outcome = judge(Item("", data))
        row = {name: column[place] for name, column in columns.items()}
        if isinstance(outcome, Verdict):
            scored = {"probability": outcome.probability, "score_stub": outcome.scores["stub"]}
            doubts = ",".join(outcome.doubts)
            label = outcome.label.value
            assert row == {**scored, "label": label, "rejected": "", "detail": "", "doubts": doubts}
        else:
            unscored = {"probability": None, "score_stub": None, "label": "", "doubts": ""}
            assert row == {**unscored, "rejected": outcome.reason.value, "detail": outcome.detail}


@pytest.mark.parametrize("every", [True, False])
def test_the_binary_extension_carries_images_and_outputs_as_they_are(door: HttpDoor, every: bool) -> None:
    raw = join(IMAGES)
    sent = request(IMAGES, outputs=[{"name": "label"}, {"name": "probability"}])
    del sent["inputs"][0]["data"]
    sent["inputs"][0]["parameters"] = {"binary_data_size": len(raw)}
    if every:
        sent["parameters"] = {"binary_data_output": True}
        sent["outputs"][0]["parameters"] = {"binary_data": False}
    else:
        sent["outputs"][1]["parameters"] = {"binary_data": True}
    follows("request", sent)
    text = json.dumps(sent).encode()
    status, body, headers = ask(
        door, "POST", INFER, text + raw, Inference_Header_Content_Length=str(len(text))
    )
    assert status == 200
    end = int(headers["Inference-Header-Content-Length"])
    answer = json.loads(body[:end])
    follows("response", answer)
    label, probability = answer["outputs"]
    assert label["data"][1] == ""
    assert probability["parameters"] == {"binary_data_size": 16}
    values = struct.unpack("<4f", body[end:])
    assert [math.isnan(value) for value in values] == [False, True, True, False]


def test_the_item_says_what_the_request_said(door: HttpDoor, core: StubCore) -> None:
    infer(door, request([b"x"], id="r", parameters={"priority": 2, "timeout": 30_000_000}))
    (item,) = core.taken
    assert (item.id, item.bundle, item.data, item.priority) == ("r/0", "first", b"x", Priority.BACKLOG)
    assert item.deadline == pytest.approx(time.monotonic() + 30, abs=5)


def test_configuration_and_statistics_are_those_of_grpc_with_numbers(door: HttpDoor, core: StubCore) -> None:
    infer(door, request(IMAGES))
    core.room = 0
    infer(door, request([b"x"]))
    status, config, _ = ask(door, "GET", "/v2/models/first/config")
    assert status == 200
    follows("config", config)
    ParseDict(config, pb.ModelConfig())
    status, stats, _ = ask(door, "GET", "/v2/models/first/versions/1/stats")
    assert status == 200
    follows("statistics", stats)
    ParseDict(stats, pb.ModelStatisticsResponse())
    (counted,) = stats["model_stats"]
    assert (counted["version"], counted["inference_count"], counted["execution_count"]) == ("1", 2, 1)
    times = counted["inference_stats"]
    assert (times["success"]["count"], times["fail"]["count"]) == (1, 1)
    assert times["compute_input"]["ns"] == 2 * 250_000_000
    assert ask(door, "GET", "/v2/models/second/stats")[1]["model_stats"][0]["execution_count"] == 0


def test_a_timeout_that_passes_is_a_gateway_timeout(door: HttpDoor, core: StubCore) -> None:
    core.gate.clear()
    assert infer(door, request([b"x"], parameters={"timeout": 20_000}))[0] == 504


def tensor(**fields: Any) -> dict[str, Any]:
    sent = request([b"x"])
    sent["inputs"][0].update(fields)
    return sent


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ([], "the body must be a JSON object"),
        ({}, "one input, 'image', and 0 were sent"),
        ({"inputs": 3}, "'inputs' must be a JSON array"),
        ({"inputs": [3]}, "an input must be a JSON object"),
        (tensor(name="x"), "the input is 'image'"),
        (tensor(name=3), "'name' must be a JSON string"),
        (tensor(shape=[1.5]), "n from 1 to 1024"),
        (tensor(shape=[True]), "n from 1 to 1024"),
        (tensor(data=["AA=="] * 2), "says 1 images, and 2 were sent"),
        (tensor(data=["a photo"]), "element 0 of the input 'image' is no base64"),
        (tensor(data=[3]), "element 0 of the input 'image' is no base64"),
        (tensor(data=[["AA==", "AA=="]]), "says 1 images, and 2 were sent"),
        (tensor(parameters={"content_type": "str"}), "another content_type"),
        (tensor(parameters={"binary_data_size": 3}), "Inference-Header-Content-Length says where"),
        (tensor(parameters={"shared_memory_region": "a"}), "not offered"),
        (request([b"x"], outputs=[{"name": "heat"}]), "no output 'heat'"),
        (request([b"x"], parameters={"timeout": 1 << 2000}), "whole number of microseconds"),
        (request([b"x"], parameters={"priority": True}), "1 comes first"),
        (request([b"x"], id="\ud800"), "Unicode"),
        (request([b""] * (MOST_IMAGES + 1)), "n from 1 to 1024"),
        ([[]] * 10_000, "commas and opening brackets"),
    ],
)  # fmt: skip
def test_a_malformed_request_is_one_sentence(door: HttpDoor, record: object, says: str) -> None:
    status, answer = infer(door, record)
    assert status == 400
    follows("error", answer)
    assert says in answer["error"]
    assert len(answer["error"]) < 500


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xd8\xff", b"[" * 5000, b"{" * 5000, b'{"a": ' + b"1" * 5000 + b"}"]
)
def test_what_is_no_json_is_said(door: HttpDoor, text: bytes) -> None:
    status, record, _ = ask(door, "POST", INFER, text)
    assert status == 400
    assert "the body" in record["error"] or "input" in record["error"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["inputs", "outputs", "name", "shape", "data", "datatype", "parameters", "id"]
                ),
                inner,
            )
        ),
        max_leaves=20,
    ),
    st.none() | st.text(max_size=5),
)
def test_any_json_is_a_request_or_refused_in_words(record: Any, stated: str | None) -> None:
    from email.message import Message
    from types import SimpleNamespace

    headers = Message()
    if stated is not None:
        headers[rest.HEADER_LENGTH] = stated.replace("\r", "").replace("\n", "")
    bundle: Any = SimpleNamespace(name="first", version="1", kind="stub")
    for sent in (record, {"inputs": [record]}, {**request([b"x"]), "parameters": record}):
        try:
            read, _ = rest.read(json.dumps(sent).encode(), headers, bundle, 0.0)
        except AssayError as error:
            said = str(error)
        else:
            said = "a request"
            assert read.images
        assert said


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bytes_tensor_is_its_elements(images: list[bytes]) -> None:
    assert split(join(images), len(images)) == images


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Transfer-Encoding: chunked", 411),
        (b"Content-Encoding: gzip\r\nContent-Length: 5", 415),
        (b"Content-Length: many", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: %d" % (MAX_MESSAGE + 1), 413),
        (b"Content-Length: " + b"9" * 30, 400),
    ],
)
def test_a_body_that_is_not_taken_is_refused_unread(door: HttpDoor, head: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as peer:
        peer.sendall(b"POST %s HTTP/1.1\r\n%s\r\n\r\n" % (INFER.encode(), head))
        received = b"".join(iter(lambda: peer.recv(1 << 16), b""))
    assert received.startswith(b"HTTP/1.1 %d" % status)
    assert b"Connection: close" in received
    follows("error", json.loads(received.partition(b"\r\n\r\n")[2]))


def started(door: HttpDoor, length: int, sent: bytes = b"x") -> socket.socket:
    """A connection on which a body of `length` bytes has begun and does not go on."""
    peer = socket.create_connection(("127.0.0.1", door.port), timeout=20)
    peer.sendall(b"POST /v1/score HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (length, sent))
    return peer


def test_a_body_that_stands_still_is_closed_and_holds_nobody_up(
    door: HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "PATIENCE", 0.3)
    monkeypatch.setattr(http_connection, "SLOWEST", 1 << 40)
    with started(door, 1000) as slow:
        assert ask(door, "POST", "/v1/score", b"good")[0] == 200
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_slow_bodies_make_room_for_others_and_are_told(
    door: HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    monkeypatch.setattr(bodies, "GRACE", -1.0)
    with started(door, 600) as first, started(door, 300) as second:
        while len(door._places.bodies) < 2:
            time.sleep(0.005)
        assert ask(door, "POST", "/v1/score", b"x" * 500)[0] == 200
        assert first.recv(100).startswith(b"HTTP/1.1 503")
        second.sendall(b"x" * 299)
        assert second.recv(100).startswith(b"HTTP/1.1 200")


def test_bodies_beyond_the_room_are_refused_while_those_before_are_young(
    door: HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    monkeypatch.setattr(bodies, "GRACE", 1e9)
    with started(door, 600):
        while not len(door._places.bodies):
            time.sleep(0.005)
        status, record, _ = ask(door, "POST", "/v1/score?id=7", b"x" * 500)
        assert (status, record["rejected"], record["id"]) == (503, "overloaded", "7")
        OUTCOME.validate(record)
        assert ask(door, "GET", "/livez")[0] == 200


def test_images_that_wait_leave_places_for_probes(
    door: HttpDoor, core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOST_SCORING", 2)
    core.gate.clear()
    waiting = [started(door, 1) for _ in range(2)]
    while len(core.taken) < 2:
        time.sleep(0.005)
    assert ask(door, "POST", "/v1/score", b"x")[0] == 503
    assert ask(door, "GET", "/readyz")[0] == 200
    core.gate.set()
    for peer in waiting:
        with peer:
            assert peer.recv(100).startswith(b"HTTP/1.1 200")


def test_a_peer_that_leaves_within_its_body_is_no_event(door: HttpDoor) -> None:
    started(door, 1000).close()
    assert ask(door, "POST", "/v1/score", b"good")[0] == 200
    while len(door._places.bodies):
        time.sleep(0.005)


def test_a_drain_answers_what_was_received_and_takes_no_more(door: HttpDoor, core: StubCore) -> None:
    core.gate.clear()
    with started(door, 1) as peer:
        while not core.taken:
            time.sleep(0.005)
        drained = threading.Thread(target=door.drain, args=(20,))
        drained.start()
        while not door._places.draining:
            time.sleep(0.005)
        status, record, _ = ask(door, "POST", "/v1/score", b"x")
        assert (status, record["rejected"]) == (503, "overloaded")
        assert ask(door, "GET", "/livez")[0] == 200
        core.gate.set()
        drained.join(20)
        assert peer.recv(100).startswith(b"HTTP/1.1 200")
