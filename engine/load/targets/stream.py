"""gRPC, a stream of messages with one or several images each."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import grpc

from assay.engine.load.images import Images
from assay.engine.load.place import Place
from assay.engine.load.target import Answer, Answered, Failure
from assay.engine.load.targets.unary import failure, read
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc


class Stream:
    """One call of `ScoreStream`. A message holds what waits when it is made, at most `per_message` images: no
    image waits for others."""

    def __init__(self, place: Place, images: Images, holds: int, per_message: int) -> None:
        self.place = place.address
        self.holds = holds
        self._images = images
        self._bundle = place.bundle
        self._per_message = per_message
        self._waiting: SimpleQueue[int] = SimpleQueue()
        self._lock = threading.Lock()
        self._answered: dict[str, Answered] = {}
        self._failure: Failure | None = None
        self._channel = place.open()
        stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._call = stub.ScoreStream(self._messages(), metadata=place.metadata)
        self._reader = threading.Thread(target=self._read, name="assay-bench-stream", daemon=True)
        self._reader.start()

    def send(self, number: int, answered: Answered) -> None:
        with self._lock:
            failure = self._failure
            if failure is None:
                self._answered[str(number)] = answered
        if failure:
            answered(failure)
        else:
            self._waiting.put(number)

    def close(self) -> None:
        self._waiting.put(-1)
        self._call.cancel()
        self._reader.join()
        self._channel.close()

    def _messages(self) -> Iterator[pb.ScoreStreamRequest]:
        """Asked for by gRPC's thread when there is room on the way to the server."""
        while (number := self._waiting.get()) >= 0:
            message = pb.ScoreStreamRequest()
            message.images.append(self._image(number))
            while len(message.images) < self._per_message and not self._waiting.empty():
                if (number := self._waiting.get()) < 0:
                    return
                message.images.append(self._image(number))
            yield message

    def _image(self, number: int) -> pb.Image:
        return pb.Image(id=str(number), data=self._images[number], bundle=self._bundle)

    def _read(self) -> None:
        try:
            for response in self._call:
                for outcome in response.outcomes:
                    self._answer(outcome.id, read(outcome))
            self._fail(Failure("ENDED", "the server ended the stream"))
        except grpc.RpcError as error:
            self._fail(failure(error))

    def _answer(self, id: str, answer: Answer) -> None:
        with self._lock:
            answered = self._answered.pop(id, None)
        if answered:
            answered(answer)

    def _fail(self, failure: Failure) -> None:
        with self._lock:
            self._failure = failure
            left, self._answered = self._answered, {}
        for answered in left.values():
            answered(failure)
