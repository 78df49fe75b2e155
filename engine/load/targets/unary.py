"""gRPC, a call an image."""

from functools import partial

import grpc

from assay.engine.load.images import Images
from assay.engine.load.place import Place
from assay.engine.load.target import PAUSE, Answer, Answered, Failure
from assay.engine.outcome import Reason, Rejection
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc
from assay.engine.wire.convert import from_message

CONNECTIONS = 4
"""A server takes so many calls of a connection at a time; the rest would wait here, unseen by it."""


class Unary:
    """Calls of `Score`, over several connections; a refused call is an outcome and is not made again."""

    def __init__(self, place: Place, images: Images, holds: int) -> None:
        self.place = place.address
        self.holds = holds
        self._images = images
        self._bundle = place.bundle
        self._metadata = place.metadata
        self._channels = [place.open() for _ in range(CONNECTIONS)]
        self._stubs = [
            scoring_pb2_grpc.ScoringServiceStub(channel)  # type: ignore[no-untyped-call]
            for channel in self._channels
        ]

    def send(self, number: int, answered: Answered) -> None:
        request = pb.ScoreRequest(image=pb.Image(data=self._images[number], bundle=self._bundle))
        call = self._stubs[number % CONNECTIONS].Score.future(request, metadata=self._metadata)
        call.add_done_callback(partial(_answer, answered))

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def _answer(answered: Answered, call: "grpc.Future[pb.ScoreResponse]") -> None:
    try:
        message = call.result()
    except grpc.RpcError as error:
        answered(_refused(error))
    except grpc.FutureCancelledError:
        answered(Failure("CANCELLED", "the call was given up"))
    else:
        answered(read(message.outcome))


def read(message: pb.Outcome) -> Answer:
    """The outcome of a message, or that this version cannot read it."""
    try:
        return from_message(message)
    except ValueError as error:
        return Failure("UNREADABLE", str(error))


def _refused(error: grpc.RpcError) -> Rejection | Failure:
    """A server that is full says so in `assay-reason`, and when to come again in gRPC's own way."""
    told = {each.key: str(each.value) for each in error.trailing_metadata() or ()}
    if told.get("assay-reason") == Reason.OVERLOADED:
        milliseconds = told.get("grpc-retry-pushback-ms", "")
        about = {PAUSE: int(milliseconds) / 1000} if milliseconds.isdigit() else {}
        return Rejection("", Reason.OVERLOADED, error.details() or "", about)
    return failure(error)


def failure(error: grpc.RpcError) -> Failure:
    """A call that came to nothing, by its status."""
    return Failure(error.code().name, error.details() or error.code().name)
