"""A client of `assay serve --grpc`: bytes in, outcomes out, as if the engine were in this process.

with Client("localhost:8001") as client:
    outcome = client.score(Path("photo.jpg").read_bytes())
    for outcome in client.score_many((path.name, path.read_bytes()) for path in paths):
        ...
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import grpc

from assay.engine.errors import AssayError, SetupError
from assay.engine.outcome import Outcome, Reason, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc
from assay.engine.wire.convert import from_message
from assay.engine.wire.pieces import MAX_MESSAGE

# What servers accept in a message, less what surrounds the bytes of an image.
MAX_IMAGE = MAX_MESSAGE - 64 * 1024
# Scoring twice does no harm, so a call that found no room or lost its server is made again; a server that
# says when (`grpc-retry-pushback-ms`) is obeyed.
RETRY = {
    "methodConfig": [
        {
            "name": [{"service": "assay.v1.ScoringService", "method": "Score"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE),
    ("grpc.min_reconnect_backoff_ms", 5000),  # also how long one attempt to connect may take
    ("grpc.service_config", json.dumps(RETRY)),
]


class Unavailable(AssayError):
    """The server cannot be reached or ended the call. `unanswered` are the ids of the images that were sent
    without an outcome: they may be sent again.
    """

    def __init__(self, sentence: str, unanswered: list[str]) -> None:
        super().__init__(sentence)
        self.unanswered = unanswered


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A bundle that the server scores with."""

    name: str
    version: str
    kind: str


class Client:
    """Scores images on the server at `address` (`HOST:PORT`), with its first bundle or the one named.

    `timeout` are the seconds that an image may take, its way there and back included in `score`. Thread-safe.
    `credentials` turn TLS on (`grpc.ssl_channel_credentials`); a bearer `token` goes with each call, in the
    clear without them.
    """

    def __init__(
        self,
        address: str,
        *,
        bundle: str | None = None,
        timeout: float | None = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
    ) -> None:
        self._address = address
        self._bundle = bundle
        self._timeout = timeout
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._channel = (
            grpc.secure_channel(address, credentials, OPTIONS)
            if credentials
            else grpc.insecure_channel(address, OPTIONS)
        )
        self._stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def score(self, data: bytes, id: str = "") -> Outcome:
        """The outcome of one encoded image. No room or no time left is a Rejection here, too.

        Raises SetupError (the bundle is not served), Unavailable, or AssayError (the id is too long).
        """
        if len(data) > MAX_IMAGE:
            return _too_large(id, len(data))
        request = pb.ScoreRequest(image=pb.Image(id=id, data=data, bundle=self._bundle or ""))
        try:
            return from_message(
                self._stub.Score(request, timeout=self._timeout, metadata=self._metadata).outcome
            )
        except grpc.RpcError as error:
            if rejection := _rejection(error, id):
                return rejection
            raise self._explained(error, [id]) from None

    def score_many(
        self, images: Iterable[tuple[str, bytes]], *, outstanding: int = 64, per_message: int = 1
    ) -> Iterator[Outcome]:
        """The outcomes of (id, encoded image) pairs, each as soon as it is ready, in any order.

        `images` is read in a thread of its own, no further than `outstanding` images ahead of the outcomes
        that were taken. With `per_message` above 1 a message waits for that many images: less work for many
        small files that are at hand, wrong for images that come one at a time.

        Raises SetupError, Unavailable, AssayError as `score` does, and whatever `images` raises.
        """
        feed = _Feed(iter(images), outstanding, min(per_message, outstanding), self._image)
        call = self._stub.ScoreStream(feed, metadata=self._metadata)
        try:
            for response in call:
                for message in response.outcomes:
                    feed.answered(message.id)
                    outcome = from_message(message)
                    if isinstance(outcome, Rejection) and outcome.reason is Reason.UNKNOWN_BUNDLE:
                        raise SetupError(f"{self._address}: {outcome.detail}")  # all images name the same
                    yield outcome
                yield from feed.refused()
            yield from feed.refused()
        except grpc.RpcError as error:
            if feed.error is None:
                raise self._explained(error, feed.unanswered()) from None
        finally:
            feed.close()
            call.cancel()
        if feed.error is not None:
            raise feed.error

    def bundles(self) -> list[ServedBundle]:
        """What the server can score with; the first one is its default. Raises Unavailable."""
        try:
            listed = self._stub.ListBundles(
                pb.ListBundlesRequest(), timeout=self._timeout, metadata=self._metadata
            ).bundles
        except grpc.RpcError as error:
            raise self._explained(error, []) from None
        return [ServedBundle(each.name, each.version, each.kind) for each in listed]

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _image(self, id: str, data: bytes) -> pb.Image:
        timeout = None if self._timeout is None else timedelta(seconds=self._timeout)
        return pb.Image(id=id, data=data, bundle=self._bundle or "", timeout=timeout)

    def _explained(self, error: grpc.RpcError, unanswered: list[str]) -> AssayError:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return SetupError(f"{self._address}: {error.details()}")
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return AssayError(f"{self._address}: {error.details()}")
        return Unavailable(f"{self._address}: {error.details() or error.code().name}", unanswered)


class _Feed(Iterator[pb.ScoreStreamRequest]):
    """The messages of one stream, as gRPC's thread asks for them; the other methods are the caller's."""

    def __init__(
        self,
        images: Iterator[tuple[str, bytes]],
        outstanding: int,
        per_message: int,
        to_image: Callable[[str, bytes], pb.Image],
    ) -> None:
        self._images = images
        self._outstanding = outstanding
        self._per_message = per_message
        self._to_image = to_image
        self._changed = threading.Condition()
        self._sent: Counter[str] = Counter()
        self._refused: list[Outcome] = []
        self._closed = False
        self._held: tuple[pb.Image, int] | None = None
        self.error: Exception | None = None
        """What `images` raised."""

    def __next__(self) -> pb.ScoreStreamRequest:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free() >= self._per_message)
        message = pb.ScoreStreamRequest()
        size = 0
        while len(message.images) < self._per_message and not self._closed:
            pulled, self._held = self._held or self._pull(), None
            if pulled is None:
                break
            image, length = pulled
            if length > MAX_IMAGE:
                self._refused.append(_too_large(image.id, length))
                continue
            size += length + len(image.id.encode())
            if size > MAX_IMAGE and message.images:
                self._held = pulled
                break
            with self._changed:
                self._sent[image.id] += 1
            message.images.append(image)
        if not message.images:
            raise StopIteration
        return message

    def answered(self, id: str) -> None:
        with self._changed:
            self._sent[id] -= 1
            if not self._sent[id]:
                del self._sent[id]
            self._changed.notify()

    def refused(self) -> Iterator[Outcome]:
        """Outcomes of images that were not sent, since the last call."""
        while self._refused:
            yield self._refused.pop(0)

    def unanswered(self) -> list[str]:
        with self._changed:
            return list(self._sent.elements())

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _free(self) -> int:
        return self._outstanding - self._sent.total()

    def _pull(self) -> tuple[pb.Image, int] | None:
        """The next image and the bytes of its data, whose length a message gives only by copying them."""
        try:
            pair = next(self._images, None)
            return None if pair is None else (self._to_image(*pair), len(pair[1]))
        except Exception as error:  # would be lost in gRPC's thread
            self.error = error
            return None


def _too_large(id: str, size: int) -> Rejection:
    detail = f"{size} bytes are more than the {MAX_IMAGE} that can be sent to a server"
    return Rejection(id, Reason.TOO_MANY_BYTES, detail, {"bytes": size, "limit": MAX_IMAGE})


def _rejection(error: grpc.RpcError, id: str) -> Rejection | None:
    """The rejection that a status stands for: `assay-reason` sets a full engine apart."""
    named = {each.key: each.value for each in error.trailing_metadata() or ()}.get("assay-reason")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Rejection(id, Reason.DEADLINE, error.details() or "")
    if str(named) == Reason.OVERLOADED:
        return Rejection(id, Reason.OVERLOADED, error.details() or "")
    return None
