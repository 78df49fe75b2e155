"""The REST form of the protocol's model repository: an index for everybody, and the operator's changes."""

import asyncio
import json
from http import HTTPStatus
from urllib.parse import unquote

from assay.engine.core import Core
from assay.engine.doors.backend import Operations
from assay.engine.doors.http.answer import Answer, as_json, error
from assay.engine.doors.inference import about
from assay.engine.errors import AssayError, EngineFault
from assay.engine.wire.pieces import InvalidMessage

PREFIX = "/v2/repository/"
MOST_BYTES = 1 << 16
"""Of a body."""


async def answer(path: str, body: bytes, core: Core, control: Operations | None) -> Answer:
    """The answer to a POST below `PREFIX`. Raises InvalidMessage."""
    asked = _asked(body)
    match [unquote(part) for part in path.removeprefix(PREFIX).split("/")]:
        case ["index"]:
            models = about.index(core.bundles, control, ready=asked.get("ready") is True)
            return Answer(HTTPStatus.OK, json.dumps(models).encode() + b"\n")
        case ["models", name, "load" | "unload" as change]:
            if control is None or control.repository is None:
                return error(HTTPStatus.FORBIDDEN, about.NO_CONTROL)
            if change == "load" and asked.get("parameters"):
                raise InvalidMessage(about.NO_PARAMETERS)
            try:
                await asyncio.wrap_future(control.load(name) if change == "load" else control.unload(name))
            except EngineFault as lost:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, str(lost))
            except AssayError as refused:
                return error(HTTPStatus.CONFLICT, str(refused))
            return as_json(HTTPStatus.OK, {})
    return error(HTTPStatus.NOT_FOUND, "there are index, models/NAME/load and models/NAME/unload")


def _asked(body: bytes) -> dict[str, object]:
    if not body:
        return {}
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InvalidMessage("the body is a JSON object, or empty")
    return record
