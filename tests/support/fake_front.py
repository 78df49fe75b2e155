"""A front process without doors, which does as the test says; run in the place of `assay.engine.fronts`.

ASSAY_FAKE_FRONT: `broken` never gets ready; `refuses` says why in last words; `mute` gets ready, and never
says that it is drained; `serves` does, and counts whether it was told that another was in its place.
"""

import os
import socket
import sys
from contextlib import suppress

from assay.engine.worker.channel import Channel


def main() -> None:
    does = os.environ["ASSAY_FAKE_FRONT"]
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    setup = channel.receive()
    if does == "broken":
        os._exit(3)
    if does == "refuses":
        channel.send({"fault": ["SetupError", "the door is locked"]})
        os._exit(0)
    channel.send({"counts": {"grown": [["unanswered", "resumed" if setup["resumes"] else "begun", 1.0]]}})
    channel.send({"ready": True})
    with suppress(EOFError):
        while (order := channel.receive().get("order")) != "stop":
            if order == "drain" and does == "serves":
                channel.send({"counts": {"grown": [["unanswered", "fake", 1.0]]}})
                channel.send({"drained": True})


main()
