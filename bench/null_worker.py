"""A worker process that looks at nothing and answers at once, so that what is left is the front's own work.

Started in the place of `assay.engine.worker`; see `WorkerProcess.program`.
"""

import os
import socket
import sys
from contextlib import suppress

from assay.engine.outcome import Label, Verdict
from assay.engine.worker.channel import Channel

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


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    with suppress(EOFError):
        channel.receive()
        channel.send({"ready": "nothing", "pace": 0.001, "graphs": []})
        answer = VERDICT.to_dict()
        while True:
            channel.send({"outcomes": [answer] * len(channel.receive()["images"])})
    os._exit(0)


if __name__ == "__main__":
    main()
