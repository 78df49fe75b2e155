"""What the HTTP door answers with: a status, headers and a body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """`last`: the connection is closed behind it, because a body that was not read follows."""

    status: HTTPStatus
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


def as_json(status: HTTPStatus, record: Mapping[str, Any], last: bool = False) -> Answer:
    headers = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    body = json.dumps(record, allow_nan=False).encode() + b"\n"
    return Answer(status, body, headers=headers, last=last)


def error(status: HTTPStatus, sentence: str, last: bool = False) -> Answer:
    """`{"error": SENTENCE}`, as the Open Inference Protocol has it."""
    return as_json(status, {"error": sentence}, last)
