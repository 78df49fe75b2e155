"""Inference requests and responses of the Open Inference Protocol as JSON, with its binary extension.

JSON has no bytes: images stand in `data` as base64. With `binary_data_size` they follow the JSON as they are,
each after its length, and `Inference-Header-Content-Length` says where it ends.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from email.message import Message
from http import HTTPStatus
from typing import Any

from assay.engine.bundle import Bundle
from assay.engine.doors.http.answer import Answer
from assay.engine.doors.inference.answer import Tensor
from assay.engine.doors.inference.models import IMAGE, MOST_IMAGES, chosen_outputs
from assay.engine.doors.inference.request import (
    Request,
    check_count,
    count_images,
    deadline_of,
    priority_of,
    split,
)
from assay.engine.wire.pieces import InvalidMessage

HEADER_LENGTH = "Inference-Header-Content-Length"
# Commas and brackets of a JSON text: base64 has none, so there are few, however many bytes there are.
MOST_MARKS = 8 * MOST_IMAGES


def read(
    body: bytes, headers: "Message[str, str]", bundle: Bundle, arrived: float
) -> tuple[Request, frozenset[str]]:
    """The request of a body, and the outputs that are wanted in binary.

    Raises InvalidMessage.
    """
    text, binary = _parts(body, headers.get(HEADER_LENGTH))
    record = _parse(text)
    sent = _list(record, "inputs")
    if len(sent) != 1:
        raise InvalidMessage(f"a request has one input, {IMAGE!r}, and {len(sent)} were sent")
    tensor = _object(sent[0], "an input")
    shape = [size if type(size) is int else -1 for size in _list(tensor, "shape")]
    count = count_images(_text(tensor, "name"), _text(tensor, "datatype"), shape)
    parameters = _object(record.get("parameters", {}), "parameters")
    asked = [_object(one, "an output") for one in _list(record, "outputs")]
    outputs = chosen_outputs(bundle, (_text(one, "name") for one in asked))
    request = Request(
        bundle=bundle,
        id=_text(record, "id"),
        images=_images(tensor, binary, count),
        shape=shape,
        outputs=outputs,
        priority=priority_of(parameters),
        deadline=deadline_of(parameters, arrived, None),
    )
    every = parameters.get("binary_data_output") is True
    own = {_text(one, "name"): _object(one.get("parameters", {}), "parameters") for one in asked}
    wanted = {output.name for output in outputs if own.get(output.name, {}).get("binary_data", every) is True}
    return request, frozenset(wanted)


def write(request: Request, tensors: Sequence[Tensor], binary: frozenset[str], version: str) -> Answer:
    """The response to `request`, whose images `version` judged; outputs named in `binary` follow the JSON."""
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for tensor in tensors:
        output: dict[str, Any] = {
            "name": tensor.output.name,
            "datatype": tensor.output.datatype,
            "shape": list(request.shape),
        }
        if tensor.output.name in binary:
            behind.append(tensor.raw())
            output["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            output["data"] = [_json(value) for value in tensor.values]
        outputs.append(output)
    record = {"model_name": request.bundle.name, "model_version": version}
    if request.id:
        record["id"] = request.id
    text = json.dumps({**record, "outputs": outputs}, allow_nan=False).encode()
    if not behind:
        return Answer(HTTPStatus.OK, text + b"\n")
    headers = {HEADER_LENGTH: str(len(text))}
    return Answer(HTTPStatus.OK, b"".join([text, *behind]), "application/octet-stream", headers)


def _json(value: float | bytes) -> float | str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if math.isfinite(value) else None  # JSON has no other numbers


def _parts(body: bytes, stated: str | None) -> tuple[bytes, bytes | None]:
    """The JSON text, and what follows it where the header says that something does."""
    if stated is None:
        return body, None
    if not (stated.isascii() and stated.isdigit() and int(stated[:20]) <= len(body)):
        raise InvalidMessage(f"{HEADER_LENGTH} is no number of bytes within the body")
    return body[: int(stated)], body[int(stated) :]


def _parse(text: bytes) -> dict[str, Any]:
    marks = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if marks > MOST_MARKS:
        raise InvalidMessage(
            f"the JSON has {marks} commas and opening brackets; of {MOST_IMAGES} images it has fewer than "
            f"{MOST_MARKS}"
        )
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise InvalidMessage(
            f"the body is no JSON: {wrong}; images are posted as they are to /v1/score"
        ) from None
    return _object(record, "the body")


def _images(tensor: Mapping[str, Any], binary: bytes | None, count: int) -> list[bytes]:
    parameters = _object(tensor.get("parameters", {}), "parameters")
    if any(name.startswith("shared_memory") for name in parameters):
        raise InvalidMessage("'shared_memory' is not offered here; send contents in the body")
    if "binary_data_size" in parameters:
        size = parameters["binary_data_size"]
        if binary is None or size != len(binary):
            raise InvalidMessage(
                f"'binary_data_size' says {size!r} bytes, and {len(binary or b'')} follow the JSON; "
                f"{HEADER_LENGTH} says where it ends"
            )
        return split(binary, count)
    if parameters.get("content_type", "base64") != "base64":
        raise InvalidMessage("the data of BYTES are base64 in JSON, and another content_type was stated")
    data = _list(tensor, "data")
    flat = [one for row in data for one in (row if isinstance(row, list) else [row])]
    check_count(flat, count)
    return [_decoded(one, place) for place, one in enumerate(flat)]


def _decoded(element: object, place: int) -> bytes:
    try:
        if isinstance(element, str):
            return base64.b64decode(element, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InvalidMessage(f"element {place} of the input {IMAGE!r} is no base64 text")


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidMessage(f"{what} must be a JSON object")
    return value


def _list(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name, [])
    if not isinstance(value, list):
        raise InvalidMessage(f"{name!r} must be a JSON array")
    return value


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name, "")
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidMessage(f"{name!r} must be a JSON string of Unicode text")
    return value
