"""`ModelInferRequest` and `ModelInferResponse`, to and from what the protocol means by them.

Images are cut out of a message on the wire, and what is left, names and parameters, is parsed only if it is
small: protobuf takes time and memory by the field, and 32 MiB hold 16 million empty ones.
"""

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.message import DecodeError

from assay.engine.bundle import Bundle
from assay.engine.doors.inference.answer import Tensor
from assay.engine.doors.inference.models import IMAGE, MOST_IMAGES, chosen_outputs, find_model
from assay.engine.doors.inference.request import (
    Parameter,
    Request,
    check_count,
    count_images,
    deadline_of,
    priority_of,
    split,
)
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.pieces import LENGTH_FIRST, NO_FIELD, InvalidMessage, field

# Bytes of a request beside its images.
MOST_REST = 1 << 16
# Fields of a message that are looked at one by one.
MOST_FIELDS = MOST_IMAGES + 64

_INPUT = pb.ModelInferRequest.INPUTS_FIELD_NUMBER << 3 | LENGTH_FIRST
_RAW = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | LENGTH_FIRST
_CONTENTS = pb.ModelInferRequest.InferInputTensor.CONTENTS_FIELD_NUMBER << 3 | LENGTH_FIRST
_BYTES = pb.InferTensorContents.BYTES_CONTENTS_FIELD_NUMBER << 3 | LENGTH_FIRST
_NAME = pb.ModelInferRequest.DESCRIPTOR.full_name


def read_request(
    message: bytes, bundles: Mapping[str, Bundle], arrived: float, until: float | None
) -> Request:
    """The request of a message that came at `arrived`, in a call whose deadline is `until`.

    Raises InvalidMessage where it cannot be read, SetupError where its model is not served.
    """
    try:
        rest, typed, raw = _cut(message)
        if len(rest) > MOST_REST:
            raise InvalidMessage(
                f"a request may have {MOST_REST} bytes beside its images, and {len(rest)} were sent"
            )
        request = pb.ModelInferRequest.FromString(rest)
    except (DecodeError, *NO_FIELD):
        raise InvalidMessage(f"{len(message)} bytes were sent that are no {_NAME}") from None
    bundle = find_model(bundles, request.model_name, request.model_version)
    if len(request.inputs) != 1:
        raise InvalidMessage(f"a request has one input, {IMAGE!r}, and {len(request.inputs)} were sent")
    sent = request.inputs[0]
    count = count_images(sent.name, sent.datatype, sent.shape)
    for output in request.outputs:
        _check_plain(output.parameters)
    _check_plain(sent.parameters)
    parameters = _plain(request.parameters)
    return Request(
        bundle=bundle,
        id=request.id,
        images=_images(typed, raw, count),
        shape=tuple(sent.shape),
        outputs=chosen_outputs(bundle, (output.name for output in request.outputs)),
        priority=priority_of(parameters),
        deadline=deadline_of(parameters, arrived, until),
    )


def write_response(request: Request, tensors: Sequence[Tensor], version: str) -> pb.ModelInferResponse:
    """The response to `request`, whose images `version` judged, with raw contents."""
    return pb.ModelInferResponse(
        model_name=request.bundle.name,
        model_version=version,
        id=request.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=tensor.output.name, datatype=tensor.output.datatype, shape=request.shape
            )
            for tensor in tensors
        ],
        raw_output_contents=[tensor.raw() for tensor in tensors],
    )


def _cut(message: bytes) -> tuple[bytes, list[bytes], list[bytes]]:
    """A message without its images; the images of typed contents; its raw contents.

    Raises InvalidMessage, or one of NO_FIELD.
    """
    rest: list[bytes] = []
    typed: list[bytes] = []
    raw: list[bytes] = []
    for key, begin, start, end in _fields(message, 0, len(message)):
        if key == _RAW:
            raw.append(message[start:end])
        elif key == _INPUT:
            rest.append(_without_contents(message, start, end, typed))
        else:
            rest.append(message[begin:end])
    return b"".join(rest), typed, raw


def _without_contents(message: bytes, start: int, end: int, typed: list[bytes]) -> bytes:
    """The input between `start` and `end`, as a field; the images of its contents go to `typed`."""
    kept: list[bytes] = []
    for key, begin, first, last in _fields(message, start, end):
        if key != _CONTENTS:
            kept.append(message[begin:last])
            continue
        for inner, _, value, behind in _fields(message, first, last):
            if inner != _BYTES:
                raise InvalidMessage(
                    f"the contents of the input {IMAGE!r} are `bytes_contents`, and others were sent"
                )
            typed.append(message[value:behind])
    return pb.ModelInferRequest(
        inputs=[pb.ModelInferRequest.InferInputTensor.FromString(_small(b"".join(kept)))]
    ).SerializeToString()


def _small(rest: bytes) -> bytes:
    if len(rest) > MOST_REST:
        raise InvalidMessage(
            f"an input may have {MOST_REST} bytes beside its images, and {len(rest)} were sent"
        )
    return rest


def _fields(message: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Key, begin, and start and end of the value of each field. Raises InvalidMessage, or one of NO_FIELD."""
    for _ in range(MOST_FIELDS):
        if at >= end:
            return
        key, start, behind = field(message, at)
        if behind > end:
            raise ValueError(behind)
        yield key, at, start, behind
        at = behind
    if at < end:
        raise InvalidMessage(f"a request holds at most {MOST_IMAGES} images, and more were sent")


def _images(typed: Sequence[bytes], raw: Sequence[bytes], count: int) -> Sequence[bytes]:
    if raw and typed:
        raise InvalidMessage("contents are raw or typed, and a request was sent with both")
    if len(raw) > 1:
        raise InvalidMessage(f"one input has one raw content, and {len(raw)} were sent")
    if raw:
        return split(raw[0], count)
    check_count(typed, count)
    return typed


def _plain(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    found = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: getattr(parameters[name], kind) for name, kind in found.items() if kind}


def _check_plain(parameters: Mapping[str, pb.InferParameter]) -> None:
    """Raises InvalidMessage for what would change where or how a tensor is sent."""
    for name in parameters:
        if name == "classification" or name.startswith("shared_memory"):
            raise InvalidMessage(f"{name!r} is not offered here; send and read contents in messages")
