"""Opens the ways on which load is sent: to a server that runs, or to one that is started for it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from assay.engine.bundle import find
from assay.engine.core import Core
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import SetupError
from assay.engine.load.images import Images
from assay.engine.load.place import Place
from assay.engine.load.result import WayName
from assay.engine.load.server import Server, variables
from assay.engine.load.target import Target
from assay.engine.load.targets.folder import Folder
from assay.engine.load.targets.stream import Stream
from assay.engine.load.targets.unary import Unary
from assay.engine.load.usage import Processes, listeners, processes
from assay.engine.settings import MIB, Settings

HELD_IMAGES, HELD_BYTES = 4096, 256 * MIB
"""Most images, and about the most encoded bytes, that are unanswered before a server has fallen behind."""


@dataclass(frozen=True)
class Opened:
    """A way that is open. `runs`: what scores, on what and in which precision, where it is known; `started`:
    whether it was for this; `check` raises SetupError where what was started has ended."""

    target: Target
    processes: Processes
    runs: str | None
    started: bool
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Ways:
    """`grpc` and `kafka` are servers that run; what is None is started, with `bundle` and `settings`, and
    joins the topics of `kafka` where `serve` says so. A stream has up to `per_message` images a message."""

    images: Images
    bundle: str
    settings: Settings
    grpc: Place | None = None
    kafka: KafkaSettings | None = None
    serve: bool = False
    per_message: int = 1

    @contextmanager
    def open(self, way: WayName) -> Iterator[Opened]:
        """Raises SetupError, BundleError or EngineFault where there is nothing to send to."""
        with ExitStack() as stack:
            match way:
                case WayName.FOLDER:
                    opened = self._engine(stack)
                case WayName.KAFKA:
                    opened = self._kafka(stack)
                case _:
                    opened = self._grpc(stack, way)
            stack.callback(opened.target.close)
            yield opened

    @property
    def _holds(self) -> int:
        return max(64, min(HELD_IMAGES, int(HELD_BYTES / max(1, self.images.mean_bytes))))

    def _engine(self, stack: ExitStack) -> Opened:
        core = Core([find(self.bundle)], self.settings)
        stack.callback(core.stop, 0.0)
        target = Folder(core, self.images, self._holds)
        return Opened(target, processes([os.getpid()], client=False), core.description, True)

    def _grpc(self, stack: ExitStack, way: WayName) -> Opened:
        server = None if self.grpc else stack.enter_context(self._server())
        place = self.grpc or Place(server.address if server else "")
        target: Target
        if way is WayName.STREAM:
            target = Stream(place, self.images, self._holds, self.per_message)
        else:
            target = Unary(place, self.images, self._holds)
        if server:
            return Opened(target, processes([server.pid]), server.runs, True, server.check)
        port = place.local_port
        return Opened(target, processes(listeners(port) if port else []), None, False)

    def _kafka(self, stack: ExitStack) -> Opened:
        from assay.engine.load.targets.kafka import Kafka

        if self.kafka is None:
            raise SetupError("Kafka needs --kafka, --in, --out and --rejects")
        target = Kafka(self.kafka, self.images, self._holds)
        if not self.serve:
            return Opened(target, processes([]), None, False)
        try:
            server = stack.enter_context(self._server(variables(self.kafka, "ASSAY_KAFKA_")))
        except BaseException:
            target.close()
            raise
        return Opened(target, processes([server.pid]), server.runs, True, server.check)

    def _server(self, more: Mapping[str, str] | None = None) -> Server:
        """One that computes every image, whether it knows it or not."""
        options = ["--bundle", self.bundle, "--cache-mib", "0"]
        return Server(options, {**variables(self.settings, "ASSAY_"), **(more or {})})
