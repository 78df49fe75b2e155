"""How long a worker may take for a batch before it is replaced.

Measured is the processor time that the worker has used: it is the same on a machine that is busy with other
things. The clock only ends what waits for ever. A GPU's worker has the clock alone, because what it spends
its time on is not done by the processor.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from assay.engine.settings import Settings
from assay.engine.ticket import Ticket

SECONDS_PER_BYTE = 20e-9
"""On top for each byte that an image reserves: several times what the slowest decoder takes."""
PACES = 10
"""This many times what the built-in image took is added for each image: machines and detectors differ."""
CLOCK = 12
"""Seconds by the clock for each of processor time."""
LOOK = 0.25
"""Seconds between two looks at what a silent worker has used."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for one batch: `processor` of processor time (None: not looked at), `clock` by the clock."""

    processor: float | None
    clock: float


def patience(tickets: Sequence[Ticket], settings: Settings, pace: float) -> Patience:
    """What a worker may take for `tickets`; `pace` is the seconds that it took for the built-in image."""
    seconds = settings.worker_timeout
    seconds += sum(PACES * pace + SECONDS_PER_BYTE * ticket.bytes for ticket in tickets)
    return Patience(None, seconds) if settings.devices else Patience(seconds, CLOCK * seconds)


def processor_time(pid: int) -> float:
    """Seconds that all threads of a child of ours have used; 0 once it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python has not
    except OSError:
        return 0.0


class Over(Enum):
    """What ran out."""

    PROCESSOR = auto()
    CLOCK = auto()


def wait(ready: Callable[[float], bool], used: Callable[[], float], most: Patience) -> Over | None:
    """Wait until the worker has answered, or has taken more than it may.

    `ready` waits that many seconds at most for the answer and says whether it is there; `used` is the
    processor time that the batch has taken so far. The seconds by the clock are those that were waited
    here: while the machine is suspended, or this process does not run, none pass.
    """
    waited = 0.0
    while not ready(LOOK):
        waited += LOOK
        if most.processor is not None and used() > most.processor:
            return Over.PROCESSOR
        if waited > most.clock:
            return Over.CLOCK
    return None
