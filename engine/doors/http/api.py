"""What the HTTP door does with images: `POST /v1/score`, and the REST form of the Open Inference Protocol."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from assay.engine import telemetry
from assay.engine.admission import check_bytes
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.core.refusals import not_served
from assay.engine.doors.backend import Operations
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.http import inference, repository
from assay.engine.doors.http.answer import Answer, as_json, error
from assay.engine.doors.http.dashboard import Dashboard
from assay.engine.doors.inference import about, models
from assay.engine.doors.inference.answer import common_refusal, tensors_of, version_of
from assay.engine.doors.inference.statistics import Counted
from assay.engine.doors.turns import HEAVY, Turns
from assay.engine.errors import AssayError, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Reason, Refused, Rejection, Verdict
from assay.engine.wire.pieces import MAX_MESSAGE, InvalidMessage

SCORE = "/v1/score"

BUSY_DRAWING = "the evidence of another image is being drawn, and of one at a time it is; try again shortly"

Work = Callable[[], Awaitable[Answer]]

STATUSES = {
    Reason.EMPTY: HTTPStatus.BAD_REQUEST,
    Reason.UNSUPPORTED_FORMAT: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Reason.TRUNCATED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.UNDECODABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.TOO_SMALL: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.DEADLINE: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Reason.UNKNOWN_BUNDLE: HTTPStatus.NOT_FOUND,
    Reason.REFERENCE_REFUSED: HTTPStatus.FORBIDDEN,
    Reason.REFERENCE_MISSING: HTTPStatus.NOT_FOUND,
    Reason.REFERENCE_FAILED: HTTPStatus.BAD_GATEWAY,
}


@dataclass(frozen=True, slots=True)
class Post:
    """A request whose body of `length` bytes is still to come."""

    path: str
    query: str
    headers: "Message[str, str]"
    length: int


class Api:
    """Belongs to one event loop; `ready` says whether images are welcome."""

    def __init__(
        self,
        core: Core,
        bridge: Bridge,
        ready: Callable[[], bool],
        dashboard: Dashboard | None = None,
        control: Operations | None = None,
    ) -> None:
        self._dashboard = dashboard
        self._drawing = False
        self._core = core
        self._bridge = bridge
        self._ready = ready
        self._turns = Turns()
        self._statistics = Counted()
        self.control = control

    def is_open(self, path: str) -> bool:
        """Whether `path` is had without a token."""
        return self._dashboard is not None and self._dashboard.is_open(path)

    def get(self, path: str, query: str, headers: "Message[str, str]") -> Answer | None:
        """The answer to GET; None where there is no such page."""
        if self._dashboard and (answer := self._dashboard.get(path, query, headers)):
            return answer
        match path.rstrip("/").split("/")[1:]:
            case ["v1", "score"]:
                return error(
                    HTTPStatus.METHOD_NOT_ALLOWED, "POST an image here: curl --data-binary @photo.jpg URL"
                )
            case ["v2"]:
                return as_json(HTTPStatus.OK, about.server(*models.EXTENSIONS, "binary_tensor_data"))
            case ["v2", "health", "live"]:
                return as_json(HTTPStatus.OK, {"live": True})
            case ["v2", "health", "ready"]:
                return self._readiness({})
            case ["v2", "models", *rest]:
                return self._model(rest)
        return None

    def post(self, path: str, query: str, headers: "Message[str, str]") -> Post | Answer | None:
        """What is to be read of a POST, or why nothing is; None where images are not posted there."""
        changes = path.startswith(repository.PREFIX)
        if path != SCORE and not changes and not (path.startswith("/v2/models/") and path.endswith("/infer")):
            return None
        if "Transfer-Encoding" in headers:
            return error(
                HTTPStatus.LENGTH_REQUIRED, "state the length of the body: Content-Length", last=True
            )
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return error(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "the body is taken as it is, without Content-Encoding",
                last=True,
            )
        stated = headers.get("Content-Length", "0")
        if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
            return error(HTTPStatus.BAD_REQUEST, "Content-Length is no number of bytes", last=True)
        length = int(stated)
        if path == SCORE:
            try:
                check_bytes(length, self._core.settings.limits)
            except Refused as refused:
                rejection = refused.rejection("")
                telemetry.count(rejection, next(iter(self._core.bundles)))
                return as_json(STATUSES[rejection.reason], rejection.to_dict(), last=True)
        elif length > (most := repository.MOST_BYTES if changes else MAX_MESSAGE):
            return error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request may have {most} bytes, and {length} were announced",
                last=True,
            )
        post = Post(path, query, headers, length)
        if not changes and self._core.pause(self._bridge.waiting) is not None:
            return self.refuse(post, "more images wait than the workers can score in time", last=True)
        return post

    async def read(self, post: Post, body: bytes) -> Answer | Work:
        """What is to be done for a POST, or the answer where that is nothing."""
        try:
            if len(body) > HEAVY:
                await self._turns.next()
            if post.path.startswith(repository.PREFIX):
                return await repository.answer(post.path, body, self._core, self.control)
            return self._one(post, body) if post.path == SCORE else self._several(post, body)
        except SetupError as unknown:
            return error(HTTPStatus.NOT_FOUND, str(unknown))
        except InvalidMessage as invalid:
            return error(HTTPStatus.BAD_REQUEST, str(invalid))

    async def score(self, work: Work) -> Answer:
        """The answer to a POST that was read."""
        try:
            return await work()
        except AssayError as lost:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, str(lost))

    def refuse(self, post: Post, why: str, last: bool = False) -> Answer:
        """The answer to a POST for which the door has no place."""
        if post.path != SCORE:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, why, last)
        rejection = Rejection(_asked(post).get("id", ""), Reason.OVERLOADED, why)
        telemetry.count(rejection, "")
        return as_json(HTTPStatus.SERVICE_UNAVAILABLE, rejection.to_dict(), last)

    def _one(self, post: Post, body: bytes) -> Answer | Work:
        asked = _asked(post)
        if unknown := asked.keys() - self._parameters:
            raise InvalidMessage(
                f"{min(unknown)[:100]!r} is no parameter of {SCORE}; there are {', '.join(self._parameters)}"
            )
        drawn = self._drawn(post, asked.get("explain", "false"))
        if isinstance(drawn, Answer):
            return drawn
        bundle = asked.get("bundle") or None
        caller, id = telemetry.called(f"POST {SCORE}", post.headers.items), asked.get("id", "")
        trace = None if caller is None else caller.image(id)
        item = Item(id, body, bundle, None, Priority.INTERACTIVE, drawn=drawn, trace=trace)
        if bundle is not None and bundle not in self._core.bundles:
            unserved = str(not_served(bundle, self._core.bundles))
            rejection = Rejection(item.id, Reason.UNKNOWN_BUNDLE, unserved)
            telemetry.count(rejection, "")
            return as_json(STATUSES[rejection.reason], rejection.to_dict())

        async def work() -> Answer:
            if drawn and self._drawing:
                return self.refuse(post, BUSY_DRAWING)
            self._drawing |= drawn
            try:
                outcome = await self._bridge.score(item)
            finally:
                self._drawing &= not drawn
            status = HTTPStatus.OK if isinstance(outcome, Verdict) else STATUSES[outcome.reason]
            return as_json(status, outcome.to_dict())

        return work

    @property
    def _parameters(self) -> Sequence[str]:
        return ("id", "bundle", "explain") if self._dashboard else ("id", "bundle")

    def _drawn(self, post: Post, asked: str) -> bool | Answer:
        """Whether evidence is to be drawn; an answer where it is not to be for this request, or now."""
        if asked not in ("true", "false"):
            raise InvalidMessage(f"explain is true or false, not {asked[:100]!r}")
        if asked == "false" or self._dashboard is None:
            return False
        if refusal := self._dashboard.refuse(post.headers):
            return refusal
        return self.refuse(post, BUSY_DRAWING) if self._drawing else True

    def _several(self, post: Post, body: bytes) -> Work:
        bundle = self._find(post.path.removesuffix("/infer").split("/")[3:])
        arrived = time.monotonic()
        request, binary = inference.read(body, post.headers, bundle, arrived)
        items = request.items(telemetry.called("POST /v2/models/{name}/infer", post.headers.items))
        counted = self._statistics.of(bundle)

        async def work() -> Answer:
            try:
                outcomes = await asyncio.gather(*(self._bridge.score(item) for item in items))
            except BaseException:
                counted.failed(time.monotonic() - arrived)
                raise
            if refusal := common_refusal(outcomes):
                counted.failed(time.monotonic() - arrived)
                return error(STATUSES[refusal.reason], refusal.detail)
            counted.answered(outcomes, time.monotonic() - arrived)
            version = version_of(request, outcomes)
            return inference.write(request, tensors_of(request, outcomes), binary, version)

        return work

    def _readiness(self, of: Mapping[str, Any]) -> Answer:
        ready = self._ready()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return as_json(status, {**of, "ready": ready})

    def _model(self, rest: list[str]) -> Answer:
        """The answer to GET /v2/models/NAME[/versions/VERSION][/PAGE]."""
        page = rest.pop() if len(rest) in (2, 4) else ""
        try:
            bundle = self._find(rest)
        except SetupError as unknown:
            return error(HTTPStatus.NOT_FOUND, str(unknown))
        match page:
            case "":
                return as_json(HTTPStatus.OK, about.metadata(bundle))
            case "ready":
                return self._readiness({"name": bundle.name})
            case "config":
                return as_json(HTTPStatus.OK, about.config(bundle))
            case "stats":
                stats = about.statistics(bundle, self._statistics.of(bundle))
                return as_json(HTTPStatus.OK, {"model_stats": [stats]})
        return error(HTTPStatus.NOT_FOUND, "of a model there are ready, config, stats and infer")

    def _find(self, parts: list[str]) -> Bundle:
        """The bundle of NAME or NAME/versions/VERSION. Raises SetupError."""
        match [unquote(part) for part in parts]:
            case [name]:
                return models.find_model(self._core.bundles, name)
            case [name, "versions", version]:
                return models.find_model(self._core.bundles, name, version)
        raise SetupError("a model is /v2/models/NAME or /v2/models/NAME/versions/VERSION")


def _asked(post: Post) -> dict[str, str]:
    return dict(parse_qsl(post.query, keep_blank_values=True))
