"""A worker: a process that owns one device and takes images from bytes to outcome.

Started by the front as `python -m assay.engine.worker SOCKET SLOT...` (file descriptors). The first message
holds settings and bundles; after the built-in image is scored the worker says it is ready, and then answers
each batch. It ends when its front does. It catches no fault: whatever a detector raises ends the process with
its last words sent ahead, and the front starts another.
"""

import logging
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

from PIL import AvifImagePlugin

from assay.engine.admission import Header
from assay.engine.bundle import Bundle
from assay.engine.channel import Channel
from assay.engine.errors import BundleError
from assay.engine.scorer import Job, Scorer
from assay.engine.settings import Settings
from assay.engine.slots import Slot


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    fds = [int(argument) for argument in sys.argv[2:]]
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the front decides when to stop
        signal.signal(number, signal.SIG_IGN)
    try:
        run(channel, fds)
    except EOFError:
        pass
    except BundleError as error:
        channel.send({"fault": str(error), "bundle": True})
    except Exception as error:
        traceback.print_exc()
        channel.send({"fault": f"{type(error).__name__}: {error}"})
    os._exit(0)  # nothing is left to tidy up, and a runtime's own clean-up could hang


def run(channel: Channel, fds: list[int]) -> None:
    """Serve batches until the front is gone (`EOFError`)."""
    setup = channel.receive()
    logging.basicConfig(level=setup["log_level"], format="%(levelname)s worker[%(process)d] %(message)s")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a worker owns one core; Pillow would start a thread for each
    scorer = Scorer(
        [Bundle.load(Path(path)) for path in setup["bundles"]], Settings.model_validate(setup["settings"])
    )
    scorer.self_test()
    slots = [Slot(fd, setup["slot_bytes"]) for fd in fds]
    channel.send({"ready": scorer.description})
    while True:
        batch = channel.receive()
        slot = slots[batch["slot"]]
        jobs = [Job(slot.view(offset, length), Header(*header)) for offset, length, header in batch["images"]]
        outcomes = scorer.score(batch["bundle"], jobs)
        channel.send({"outcomes": [outcome.to_dict() for outcome in outcomes]})


if __name__ == "__main__":
    main()
