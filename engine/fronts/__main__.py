"""A front: a process with doors that passes images on to the engine's process, and outcomes back.

Started as `python -m assay.engine.fronts SOCKET RING` (file descriptors). The first message holds settings,
doors and bundles; when all doors are open it says that it is ready. It does as it is told (`not_serving`,
`drain`), and ends at once when the engine's process does.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from assay.engine.doors.door import Door
from assay.engine.errors import AssayError, SetupError
from assay.engine.fronts import wire
from assay.engine.fronts.backend import FrontBackend
from assay.engine.fronts.counts import SECONDS, Growth
from assay.engine.fronts.operations import FrontOperations
from assay.engine.fronts.outbox import Outbox
from assay.engine.fronts.ring import Ring
from assay.engine.registry import DOORS, named
from assay.engine.server import drain
from assay.engine.settings import Settings
from assay.engine.telemetry.logs import WORDS, log_to_stderr
from assay.engine.telemetry.traces import exported
from assay.engine.worker.channel import Channel

Message = dict[str, Any]


class Front:
    """The end of the link that is in this process."""

    def __init__(self, channel: Channel, ring: Ring, setup: Message) -> None:
        self._channel = channel
        self._others: deque[Message] = deque()
        self._outbox = Outbox(channel, self._gather)
        self.backend = FrontBackend(Settings.model_validate(setup["settings"]), ring, self._outbox.notify)
        self.backend.hear(setup)
        repository = setup["repository"] and Path(setup["repository"])
        self.operations = FrontOperations(repository, lambda: self.backend.bundles, self.post)
        self.orders: SimpleQueue[Message] = SimpleQueue()
        self.doors: list[Door] = []
        self._growth = Growth(self.doors)
        self._counting = threading.Lock()

    def start(self) -> None:
        self._outbox.start()
        threading.Thread(target=self._listen, name="assay-engine", daemon=True).start()
        threading.Thread(target=self._report, name="assay-counts", daemon=True).start()

    def post(self, message: Message) -> None:
        self._others.append(message)
        self._outbox.notify()

    def count(self) -> None:
        """Tell what was counted since the last time."""
        with self._counting:
            if found := self._growth.since():
                self.post({"counts": found})

    def failed(self, error: AssayError) -> None:
        self.post({"failed": wire.error_of(error)})

    def _gather(self) -> Message:
        """Items first: what is said of them comes behind them."""
        return self.backend.gather() or (self._others.popleft() if self._others else {})

    def _report(self) -> None:
        while True:
            threading.Event().wait(SECONDS)
            self.count()

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self._channel.receive())
        except (EOFError, OSError):
            os._exit(0)  # the engine is gone, and with it all that was asked
        except BaseException:
            logging.exception("the front failed")
            os._exit(1)

    def _hear(self, message: Message) -> None:
        self.backend.hear(message)
        if "edition" in message:
            self.post({"edition": message["edition"]})
        if "operated" in message:
            self.operations.hear(message["operated"])
        if "models" in message:
            for door in self.doors:
                if door.counted:
                    door.counted.hear(message["models"])
        if "order" in message:
            self.orders.put(message)


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # of the group: the engine decides
        signal.signal(number, signal.SIG_IGN)
    try:
        setup = channel.receive()
        log_to_stderr(setup["log_level"], setup["log_format"], f"front[%(process)d] {WORDS}")
        front = Front(channel, Ring(int(sys.argv[2]), setup["ring"]), setup)
        with exported(setup["traces"]):
            run(front, setup)
    except EOFError:
        pass
    except AssayError as error:
        leave(channel, error)
    except Exception as error:
        logging.exception("the front failed")
        leave(channel, error)
    os._exit(0)  # what is left belongs to doors that were told to stop


def leave(channel: Channel, error: Exception) -> None:
    """Say the last words, if the engine is there to hear them."""
    with suppress(EOFError, OSError):
        channel.send({"fault": wire.error_of(error)})


def run(front: Front, setup: Message) -> None:
    """Open the doors, and do as told until the end."""
    front.start()
    doors = front.doors
    try:
        for name, values in setup["doors"]:
            doors.append(opened(front, name, values, setup["resumes"]))
        front.post({"ready": True})
        while (order := front.orders.get())["order"] != "stop":
            if order["order"] == "not_serving":
                for door in doors:
                    door.not_serving()
            else:
                drain(doors[::-1], order["seconds"])
                front.count()
                front.post({"drained": True})
    finally:
        for door in doors:
            door.stop()


def opened(front: Front, name: str, values: Message, resumes: bool) -> Door:
    """`resumes`: another front had the door before. Raises SetupError where it does not open."""
    kind = named(DOORS, name, "door")
    if kind.spread is None:
        raise SetupError(f"the door {name!r} cannot be in several processes")
    door: Door = kind.spread.make(front.backend, kind.settings(**values))
    door.on_failure(front.failed)
    door.operate(front.operations)
    if resumes:
        door.resume()
    else:
        door.start()
    return door


if __name__ == "__main__":
    main()
