"""Workers that look at nothing, so that what is left is the front's own work.

They are in the front and answer at once; or processes, started in the place of `assay.engine.worker`, where a
batch takes `SECONDS` without work.
"""

import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import sleep

from assay.engine.core import fleet
from assay.engine.outcome import Label, Outcome, Verdict
from assay.engine.ticket import Ticket
from assay.engine.worker.channel import Channel
from assay.engine.worker.process import WorkerProcess

SECONDS = 0.002
"""Of a batch in a process."""

VERDICT = Verdict(
    "",
    Label.AUTHENTIC,
    0.09,
    {"plain": -1.4},
    "null",
    "0",
    {"crop_logits": [-1.3, -1.5], "crops": [[0, 0, 224, 224], [288, 160, 512, 384]]},
    {"decode": 0.002, "view": 0.003, "classify": 0.033},
)
"""What each image gets; as long as one of the default bundle."""


class NullWorker:
    """Takes the place of a `WorkerProcess` in the front."""

    description = "nothing"
    pid = None

    def __init__(self, *_: object) -> None:
        self._held: deque[int] = deque()

    def check(self) -> None:
        """It does not end."""

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._held.append(len(tickets))

    def receive(self) -> list[Outcome]:
        return [VERDICT] * self._held.popleft()

    def interrupt(self) -> None:
        """It is never busy."""

    def kill(self) -> None:
        """It holds nothing."""


def take_over(processes: bool) -> None:
    """Have all workers that this process starts from here on be null workers."""
    if processes:
        WorkerProcess.program = "assay.bench.null_worker"
    else:
        fleet.WorkerProcess = NullWorker  # type: ignore[attr-defined, assignment]


def main() -> None:
    """The process."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    with suppress(EOFError):
        channel.receive()
        channel.send({"ready": "nothing", "pace": 0.001, "graphs": []})
        answer = VERDICT.to_dict()
        while True:
            images = len(channel.receive()["images"])
            sleep(SECONDS)
            channel.send({"outcomes": [answer] * images})
    os._exit(0)


if __name__ == "__main__":
    main()
