"""Every service and path of a port behind tokens and TLS: what reaches the core, and how it ends."""

import http.client
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from support.secured import OTHER, TOKEN, Files, fetch, grpc_door, http_door, trusting
from support.stub_core import StubCore

from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc
from assay.engine.wire.inference import service_pb2

METHODS = [
    f"/{service.full_name}/{method}"
    for service in (
        pb.DESCRIPTOR.services_by_name["ScoringService"],
        service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    )
    for method in service.methods_by_name
]
INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
SCORE = "/assay.v1.ScoringService/ScoreStream"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def core() -> StubCore:
    return StubCore()


def inference(data: bytes) -> bytes:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    request = service_pb2.ModelInferRequest(model_name="first", inputs=[tensor])
    request.raw_input_contents.append(len(data).to_bytes(4, "little") + data)
    return request.SerializeToString()


def scoring(data: bytes) -> bytes:
    return pb.ScoreStreamRequest(images=[pb.Image(id="one", data=data)]).SerializeToString()


def services(_data: bytes) -> bytes:
    return reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()


STREAMS = [(SCORE, scoring), (INFER, inference), (REFLECT, services)]


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


class Call:
    """A stream whose messages are given one by one; None ends them."""

    def __init__(self, channel: grpc.Channel, method: str, token: str) -> None:
        self.send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        messages: Iterator[bytes] = iter(self.send.get, None)  # type: ignore[arg-type]
        self.answers = channel.stream_stream(method)(messages, metadata=bearer(token), timeout=30)

    def status(self) -> tuple[grpc.StatusCode, str]:
        try:
            list(self.answers)
        except grpc.RpcError:
            pass
        finally:
            self.send.put(None)
        return self.answers.code(), self.answers.details()


@pytest.mark.parametrize("busy", [False, True])
def test_no_method_of_any_service_is_reached_without_a_token(
    files: Files, core: StubCore, busy: bool
) -> None:
    """A server that is full says no more to strangers than one that is not."""
    core.refusing = 1.0 if busy else None
    with (
        grpc_door(core, tokens_file=files.tokens) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        for method in METHODS:
            for metadata in (None, bearer(TOKEN[:-1])):
                with pytest.raises(grpc.RpcError) as refused:
                    channel.unary_unary(method)(inference(b"x" * 100_000), metadata=metadata, timeout=30)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, method
    assert core.taken == []


def test_posts_and_the_inference_protocol_need_a_token(files: Files, core: StubCore) -> None:
    paths = ("/v1/score", "/v2", "/v2/health/live", "/v2/models/first", "/v2/models/first/infer")
    with http_door(core, tokens_file=files.tokens) as web:
        for path in paths:
            for method in ("GET", "POST", "HEAD"):
                body = b"x" * 100_000 if method == "POST" else None
                assert fetch(web, path, token=TOKEN + "x", method=method, body=body)[0] == 401, path
        assert core.taken == []
        assert fetch(web, "/v1/score", token=OTHER, method="POST", body=b"image")[0] == 200
        assert fetch(web, "/v1/score", token=OTHER, method="POST", body=b"image")[0] == 429
        assert [item.data for item in core.taken] == [b"image"]


def test_a_request_behind_one_with_a_token_needs_its_own(files: Files, core: StubCore) -> None:
    with http_door(core, tokens_file=files.tokens) as web:
        connection = http.client.HTTPConnection("localhost", web, timeout=30)
        for header, status in (({"Authorization": f"Bearer {TOKEN}"}, 200), ({}, 401)):
            connection.request("POST", "/v1/score", b"image", header)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
    assert len(core.taken) == 1


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 5_000_000])
def test_bodies_come_whole_through_tls(files: Files, core: StubCore, size: int) -> None:
    image = b"i" * size
    with http_door(core, **files.tls(), tokens_file=files.tokens) as web:
        status = fetch(web, "/v1/score", files, token=TOKEN, method="POST", body=image)[0]
    assert status == (200 if size else 400)
    assert [item.data for item in core.taken] == [image]


def test_a_body_that_breaks_off_under_tls_is_no_image(files: Files, core: StubCore) -> None:
    with http_door(core, **files.tls()) as web:
        context = ssl.create_default_context(cafile=files.authority)
        connection = http.client.HTTPSConnection("localhost", web, timeout=30, context=context)
        connection.putrequest("POST", "/v1/score")
        connection.putheader("Content-Length", "100000")
        connection.endheaders(b"x" * 50_000)
        connection.close()
        assert fetch(web, "/livez", files)[0] == 200
    assert core.taken == []


@pytest.mark.parametrize(("method", "message"), STREAMS)
def test_a_stream_ends_when_its_token_is_gone(
    files: Files, core: StubCore, method: str, message: Callable[[bytes], bytes]
) -> None:
    """What came before is answered; what comes later is not scored, and the status does not say it was."""
    with (
        grpc_door(core, tokens_file=files.tokens) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        call = Call(channel, method, TOKEN)
        call.send.put(message(b"before"))
        assert next(call.answers)
        files.tokens.write_text("other a-token-that-came-later\n")
        call.send.put(message(b"after"))
        status, detail = call.status()
    assert (status, detail) == (grpc.StatusCode.UNAUTHENTICATED, "the token of this stream is gone")
    assert [item.data for item in core.taken] == [b"before"] * (method != REFLECT)


@pytest.mark.parametrize(("method", "message"), STREAMS)
def test_a_stream_goes_on_while_other_tokens_come_and_go(
    files: Files, core: StubCore, method: str, message: Callable[[bytes], bytes]
) -> None:
    with (
        grpc_door(core, tokens_file=files.tokens) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        call = Call(channel, method, TOKEN)
        call.send.put(message(b"before"))
        assert next(call.answers)
        files.tokens.write_text(f"renamed {TOKEN} 1000\n")
        call.send.put(message(b"after"))
        call.send.put(None)
        assert next(call.answers)
        assert call.status()[0] is grpc.StatusCode.OK


@pytest.mark.parametrize(("method", "message"), STREAMS[:2])
def test_a_drain_does_not_wait_for_a_stream_that_is_slowed(
    files: Files, core: StubCore, method: str, message: Callable[[bytes], bytes]
) -> None:
    """A new rate holds for open streams: one message passes, the next is due in minutes, and its sender is
    told that it was not scored."""
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0", tokens_file=files.tokens))  # type: ignore[arg-type]
    door.start()
    with grpc.insecure_channel(f"localhost:{door.port}") as channel:
        call = Call(channel, method, TOKEN)
        for data in (b"free", b"first at the new rate"):
            call.send.put(message(data))
            assert next(call.answers)
            files.tokens.write_text(f"free {TOKEN} 0.01\n")
        call.send.put(message(b"due in minutes"))
        drain = threading.Thread(target=door.drain, args=(60,))
        drain.start()
        assert call.status()[0] is grpc.StatusCode.UNAVAILABLE
        drain.join(30)
        assert not drain.is_alive()
    door.stop()
    core.stop()
    assert [item.data for item in core.taken] == [b"free", b"first at the new rate"]


def test_a_server_under_tls_drains_like_any_other(files: Files, core: StubCore) -> None:
    """Calls that were taken are answered; callers that do not pause meet UNAVAILABLE."""
    core.gate.clear()
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0", **files.tls(mutual=True)))  # type: ignore[arg-type]
    door.start()
    credentials = trusting(files.authority, files.issue("client"))
    with grpc.secure_channel(f"localhost:{door.port}", credentials) as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        first = stub.Score.future(pb.ScoreRequest(image=pb.Image(data=b"held")), timeout=30)
        while not core.taken:
            threading.Event().wait(0.005)
        drain = threading.Thread(target=door.drain, args=(20,))
        drain.start()
        codes = []
        while drain.is_alive():
            later = stub.Score.future(pb.ScoreRequest(image=pb.Image(data=b"later")), timeout=30)
            core.gate.set()
            codes.append(later.code())
        assert first.result().outcome.HasField("verdict")
        assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    door.stop()
    core.stop()
