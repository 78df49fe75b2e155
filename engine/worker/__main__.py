"""A worker: a process that owns one device and takes images from bytes to outcome.

Started by the front as `python -m assay.engine.worker SOCKET SLOT...` (file descriptors). The first message
holds settings and bundles; after the built-in image is scored the worker says it is ready, and then answers
each batch; on a GPU the next one is decoded meanwhile, and the one after that checked. It ends when its front
does. It catches no fault: whatever a detector raises ends the process with its last words sent ahead, and the
front starts another.
"""

import gc
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin

from assay.engine.admission import Header
from assay.engine.bundle import Bundle
from assay.engine.ceiling import set_ceiling
from assay.engine.errors import AssayError
from assay.engine.settings import Settings
from assay.engine.telemetry.logs import log_to_stderr
from assay.engine.worker.channel import Channel
from assay.engine.worker.confine import confine
from assay.engine.worker.pipeline import pipelined
from assay.engine.worker.scorer import Batch, Job, Scorer, Screened
from assay.engine.worker.slots import Slot

Message = dict[str, Any]

ROOM = 256 << 20
"""Bytes that a worker on a CPU may take beside the whole budget: buffers that it keeps, and the heap."""


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    fds = [int(argument) for argument in sys.argv[2:]]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # of the group: the front decides
        signal.signal(number, signal.SIG_IGN)
    try:
        run(channel, fds)
    except EOFError:
        pass
    except AssayError as error:
        leave(channel, {"fault": str(error), "kind": type(error).__name__})
    except Exception as error:
        logging.exception("the worker failed")
        leave(channel, {"fault": f"{type(error).__name__}: {error}"})
    os._exit(0)  # nothing is left to tidy up, and a runtime's own clean-up could hang


def leave(channel: Channel, words: Message) -> None:
    """Say the last words, if the front is there to hear them."""
    with suppress(EOFError):
        channel.send(words)


def run(channel: Channel, fds: list[int]) -> None:
    """Serve batches until the front is gone (`EOFError`)."""
    setup = channel.receive()
    os.nice(setup["nice"])
    log_to_stderr(setup["log_level"], setup["log_format"], "%(levelname)s worker[%(process)d] %(message)s")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a worker owns one core; Pillow would start a thread for each
    settings = Settings.model_validate(setup["settings"])
    on_cpu = not settings.devices
    scorer = Scorer([Bundle.load(Path(path)) for path in setup["bundles"]], settings, confined=on_cpu)
    pace = scorer.self_test()
    if on_cpu:
        set_ceiling(settings.memory + ROOM)
    if why := confine():
        logging.debug("the network is not closed to this worker: %s", why)
    gc.collect()
    gc.freeze()  # what is there by now stays: no collection need look at it again
    slots = [Slot(fd, setup["slot_bytes"]) for fd in fds]
    channel.send({"ready": scorer.description, "pace": pace, "graphs": scorer.graphs})

    def jobs_of(message: Message) -> list[Job]:
        slot = slots[message["slot"]]
        return [Job(slot.view(start, size), Header(*header)) for start, size, header in message["images"]]

    def screen(message: Message) -> Screened:
        return scorer.screen(jobs_of(message), slots[message["slot"]].take_in_hand)

    def answer(message: Message, batch: Batch) -> None:
        if message["drawn"]:
            from assay.engine.explain.drawn import draw  # which serving without a dashboard never needs

            [job] = jobs_of(message)
            outcomes = [draw(scorer, message["bundle"], job, batch)]
        else:
            outcomes = scorer.infer(message["bundle"], batch)
        channel.send({"outcomes": [outcome.to_dict() for outcome in outcomes]})

    if settings.devices:
        steps = (screen, scorer.finish)
        pipelined(channel.receive, lambda message: len(message["images"]) == 1, steps, answer)
    while True:  # one core has nothing to overlap
        message = channel.receive()
        answer(message, scorer.finish(screen(message)))


if __name__ == "__main__":
    main()
