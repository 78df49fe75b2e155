"""Requests of the inference protocol that no good client sends, and contents in their typed form."""

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given
from hypothesis import strategies as st
from support.stub_core import StubCore

from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.doors.grpc.inference import messages
from assay.engine.doors.grpc.inference.messages import read_request
from assay.engine.doors.inference.models import MOST_IMAGES
from assay.engine.doors.inference.request import join
from assay.engine.errors import AssayError
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.inference.service_pb2_grpc import GRPCInferenceServiceStub
from assay.engine.wire.pieces import InvalidMessage

BUNDLES: Any = {"first": SimpleNamespace(name="first", version="1.0.0", kind="stub")}
Input = pb.ModelInferRequest.InferInputTensor


def request(images: list[bytes], typed: bool = False, **fields: Any) -> pb.ModelInferRequest:
    sent = pb.ModelInferRequest(model_name="first", inputs=[Input(name="image", datatype="BYTES")], **fields)
    sent.inputs[0].shape.append(len(images))
    if typed:
        sent.inputs[0].contents.bytes_contents.extend(images)
    else:
        sent.raw_input_contents.append(join(images))
    return sent


def read(message: bytes) -> Any:
    return read_request(message, BUNDLES, 100.0, None)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.booleans(), st.text(max_size=9))
def test_images_come_out_as_they_went_in(images: list[bytes], typed: bool, id: str) -> None:
    got = read(request(images, typed, id=id).SerializeToString())
    assert list(got.images) == images
    assert got.id == id
    assert [item.data for item in got.items()] == images
    assert len({item.id for item in got.items()}) == len(images)


@given(st.binary(max_size=300), st.integers(0, 300), st.booleans())
def test_any_bytes_are_a_request_or_refused_in_words(noise: bytes, at: int, typed: bool) -> None:
    message = request([b"abc", b""], typed).SerializeToString()
    for sent in (noise, message[:at], message[:at] + noise + message[at:], message + noise):
        with contextlib.suppress(AssayError):
            assert read(sent).images


def changed(change: Callable[[pb.ModelInferRequest], object]) -> bytes:
    sent = request([b"x"])
    change(sent)
    return sent.SerializeToString()


def both(sent: pb.ModelInferRequest) -> None:
    sent.inputs[0].contents.bytes_contents.append(b"x")


def shaped(*shape: int) -> Callable[[pb.ModelInferRequest], object]:
    def change(sent: pb.ModelInferRequest) -> None:
        sent.inputs[0].shape[:] = shape

    return change


def parameter(name: str, **value: Any) -> Callable[[pb.ModelInferRequest], object]:
    return lambda sent: sent.parameters[name].CopyFrom(pb.InferParameter(**value))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda sent: sent.ClearField("inputs"), "one input, 'image', and 0 were sent"),
        (lambda sent: sent.inputs.add(name="b"), "one input, 'image', and 2 were sent"),
        (lambda sent: setattr(sent.inputs[0], "name", "pixels"), "the input is 'image', and 'pixels'"),
        (lambda sent: setattr(sent.inputs[0], "datatype", "UINT8"), "decoded pixels are not scored"),
        (shaped(), r"n from 1 to 1024, and \[\] was sent"),
        (shaped(0), r"and \[0\] was sent"),
        (shaped(-1), r"and \[-1\] was sent"),
        (shaped(1, 2), r"and \[1, 2\] was sent"),
        (shaped(1, 1, 1), r"and \[1, 1, 1\] was sent"),
        (shaped(1 << 40), "n from 1 to 1024"),
        (shaped(2), "says 2 images, and 1 were sent"),
        (lambda sent: sent.raw_input_contents.append(b""), "one raw content, and 2 were sent"),
        (lambda sent: sent.ClearField("raw_input_contents"), "says 1 images, and 0 were sent"),
        (lambda sent: sent.raw_input_contents.__setitem__(0, b"\1\0"), "end within an image"),
        (lambda sent: sent.raw_input_contents.__setitem__(0, b"\5\0\0\0abc"), "end within an image"),
        (lambda sent: sent.raw_input_contents.__setitem__(0, join([b"a", b"b"])), "says 1 images, and 2"),
        (both, "raw or typed"),
        (lambda sent: sent.inputs[0].contents.fp32_contents.append(1), "`bytes_contents`"),
        (
            lambda sent: sent.inputs[0].parameters["shared_memory_region"].CopyFrom(pb.InferParameter()),
            "'shared_memory_region' is not offered",
        ),
        (
            lambda sent: sent.outputs.add(name="label").parameters["classification"].MergeFrom(
                pb.InferParameter(int64_param=3)
            ),
            "'classification' is not offered",
        ),
        (parameter("timeout", string_param="soon"), "whole number of microseconds"),
        (parameter("timeout", int64_param=-5), "whole number of microseconds"),
        (parameter("timeout", bool_param=True), "whole number of microseconds"),
        (parameter("priority", int64_param=-1), "1 comes first"),
        (parameter("priority", double_param=1.0), "1 comes first"),
        (lambda sent: setattr(sent, "id", "x" * (1 << 17)), "65536 bytes beside its images"),
        (lambda sent: sent.inputs[0].shape.extend([1] * 70_000), "beside its images"),
    ],
)  # fmt: skip
def test_a_malformed_request_is_one_sentence(
    change: Callable[[pb.ModelInferRequest], object], says: str
) -> None:
    with pytest.raises(InvalidMessage, match=says):
        read(changed(change))


def test_parameters_that_mean_nothing_here_are_passed_over() -> None:
    assert read(changed(parameter("sequence_id", int64_param=3))).deadline is None
    assert read(changed(lambda sent: sent.parameters["empty"])).images == [b"x"]
    assert read(changed(parameter("timeout", uint64_param=5_000_000))).deadline == 105.0


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x3a\x00" * (1 << 20),  # empty raw contents
        b"\x2a\x00" * (1 << 20),  # empty inputs
        b"\x22\x00" * (1 << 20),  # empty parameters
        b"\x32\x00" * (1 << 20),  # empty outputs
    ],
)
def test_a_million_empty_fields_are_not_gone_through(hostile: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    original = messages.field

    def counted(message: bytes, at: int) -> tuple[int, int, int]:
        nonlocal looked
        looked += 1
        return original(message, at)

    monkeypatch.setattr(messages, "field", counted)
    with pytest.raises(InvalidMessage, match="at most 1024 images"):
        read(hostile)
    inside = b"\x2a" + _length(hostile) + hostile.replace(hostile[:1], b"\x2a")
    with pytest.raises(InvalidMessage):
        read(inside)
    assert looked < 4 * messages.MOST_FIELDS


def _length(data: bytes) -> bytes:
    value, out = len(data), b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_more_images_than_are_allowed_are_refused_by_number() -> None:
    assert len(read(request([b""] * MOST_IMAGES).SerializeToString()).images) == MOST_IMAGES
    for typed in (False, True):
        with pytest.raises(InvalidMessage, match="1024"):
            read(request([b""] * (MOST_IMAGES + 100), typed).SerializeToString())


@pytest.fixture
def inference(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


def test_over_the_wire_a_malformed_request_is_an_invalid_argument(inference: Any) -> None:
    with pytest.raises(grpc.RpcError) as error:
        inference.ModelInfer(pb.ModelInferRequest(model_name="first"))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert inference.ModelInfer(request([b"x"], typed=True)).outputs[0].name == "probability"


def test_a_stream_answers_a_malformed_request_and_goes_on(inference: Any) -> None:
    bad = pb.ModelInferRequest(model_name="first")
    answers = list(inference.ModelStreamInfer(iter([bad, request([b"x"]), bad])))
    assert [bool(answer.error_message) for answer in answers] == [True, False, True]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_request_may_have_more_images_than_a_stream_its_window(core: StubCore, window: int) -> None:
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0", stream_window=window))  # type: ignore[arg-type]
    door.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{door.port}") as channel:
            sent = [request([b"%d" % number] * 5) for number in range(6)]
            answers = list(GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(sent), timeout=30))
            assert [len(answer.infer_response.outputs) for answer in answers] == [6] * 6
    finally:
        door.stop()


def test_reflection_shows_the_protocol_beside_the_scoring_service(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert {"inference.GRPCInferenceService", "assay.v1.ScoringService"} <= services
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert service.methods_by_name["ModelInfer"].input_type.full_name == "inference.ModelInferRequest"
    assert pool.FindServiceByName("assay.v1.ScoringService").methods_by_name
    with pytest.raises(KeyError):
        pool.FindServiceByName("inference.Nothing")
