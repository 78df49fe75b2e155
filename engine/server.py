"""`assay serve`: several doors over one core, from start to a clean end.

The end has an order. Readiness turns false and health NOT_SERVING; for `delay` seconds everything is still
served, until load balancers have noticed; then the doors let nothing new in and answer what they received,
the core stops, and HTTP, which carries probes and metrics, goes last. An engine fault takes no such care:
nothing can be answered any more, so what Kafka delivered stays uncommitted.
"""

import logging
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue

from pydantic import DirectoryPath, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from assay.engine.control import Control
from assay.engine.core import Core
from assay.engine.doors.door import Door, DoorKind
from assay.engine.errors import AssayError, EngineFault
from assay.engine.settings import DAY
from assay.engine.telemetry.logs import Format

# Parts of the drain timeout; the rest is for ending threads and processes.
DOORS_SHARE = 0.8
CORE_SHARE = 0.1
# Seconds after which a signal is seen at the latest.
LOOK = 0.5

Event = signal.Signals | AssayError

log = logging.getLogger(__name__)


class ServeSettings(BaseSettings):
    """How the server ends, what it remembers, what it tells; as variables: `ASSAY_SERVE_DELAY` and so on."""

    model_config = SettingsConfigDict(
        env_prefix="ASSAY_SERVE_", extra="forbid", frozen=True, allow_inf_nan=False
    )

    delay: float = Field(0.0, ge=0, le=DAY)
    """Seconds between NOT_SERVING and refusing: as long as load balancers take to notice."""
    timeout: float = Field(25.0, gt=0, le=DAY)
    """Seconds after `delay` until the process ends, whatever is left. Their sum belongs below the grace
    period of its host, which for Kubernetes is 30 s."""
    cache_mib: int = Field(64, ge=0, lt=1 << 20)
    """MiB of outcomes that are kept for images that come again. 0: every image is computed, also of several
    that are the same and wait at the same time."""
    traces: bool = False
    """Send a trace of each image by OTLP over gRPC; where to, how many and the rest say the standard `OTEL_`
    variables."""
    log_format: Format = "text"
    """`json`: the log is one JSON object a line, with the id of the image that a line is about."""
    shadow: str | None = None
    """A bundle, by name or folder, that scores a share of the images beside those that answer, to be compared
    with them: its scores are in the metrics."""
    shadow_share: float = Field(0.1, gt=0, le=1)
    """Share of the images that it scores, chosen by their content."""
    fronts: int | None = Field(None, ge=1, le=64)
    """Processes that take images in by gRPC and Kafka, in front of the one with the engine; 1: that one does
    it itself. By default 1 without GPUs, and with them one for every four cores, at most two a GPU."""
    repository: DirectoryPath | None = None
    """Folder of bundles' folders. With it bundles may be loaded and unloaded by calls of the Open Inference
    Protocol, by whoever may call at all; without it none may."""


def check_addresses(opened: Iterable[tuple[DoorKind, BaseSettings]]) -> None:
    """Raises SetupError where an address cannot be listened on: known before an engine is built for it."""
    for kind, settings in opened:
        kind.check(settings)


def serve(
    core: Core,
    doors: Sequence[Door],
    settings: ServeSettings | None = None,
    control: Control | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains, stops the core and returns. Main thread only.

    With `control` SIGHUP has bundles read anew whose folders have changed.

    The doors start in their order, and are drained and stopped in the reverse one. A second signal ends the
    process at once, without answering what was received.

    Raises SetupError where a door cannot open, EngineFault where the core loses its last worker, and what a
    door failed with.
    """
    settings = settings or ServeSettings()
    _raise_descriptor_limit()
    events: SimpleQueue[Event] = SimpleQueue()  # its put() may be called in a signal handler
    core.on_fault(events.put)
    for door in doors:
        door.on_failure(events.put)
    with ExitStack() as stack:
        stack.callback(core.stop, 0.0)
        with _signals(events.put, signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if control else ())):
            for door in doors:
                if control:
                    door.operate(control)
                stack.callback(door.stop)
                door.start()
            while (event := _next(events)) is signal.SIGHUP and control:
                control.reload()
        log.info("ending: %s", event.name if isinstance(event, signal.Signals) else event)
        stack.enter_context(_hard_limit(settings.delay + settings.timeout))
        for door in doors:
            door.not_serving()
        if not isinstance(event, EngineFault):
            _raise_failure(_wait(events, settings.delay))
            drain(doors[::-1], settings.timeout * DOORS_SHARE)
        _raise_failure(event)
        _raise_failure(_wait(events, 0))
        core.stop(settings.timeout * CORE_SHARE)


def _raise_descriptor_limit() -> None:
    """To what the host grants: each connection takes a descriptor, and the usual limit is soon reached."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def drain(doors: Sequence[Door], timeout: float) -> None:
    """All at once, but asked in order: the backlog is stopped first."""
    if not doors:
        return
    with ThreadPoolExecutor(len(doors), "assay-drain") as pool:
        for drained in [pool.submit(door.drain, timeout) for door in doors]:
            drained.result()


def _next(events: SimpleQueue[Event]) -> Event:
    """The next event. Of two signals at once the system gives one to another thread, which does not wake this
    one: its handler runs here when this one next looks up."""
    while True:
        with suppress(Empty):
            return events.get(timeout=LOOK)


def _wait(events: SimpleQueue[Event], seconds: float) -> Event | None:
    try:
        return events.get(timeout=seconds)
    except Empty:
        return None


def _raise_failure(event: Event | None) -> None:
    if isinstance(event, AssayError):
        raise event


@contextmanager
def _signals(callback: Callable[[Event], None], *numbers: signal.Signals) -> Iterator[None]:
    """Calls back on signals, and puts the former handlers back at the end."""
    former = {
        number: signal.signal(number, lambda received, _: callback(signal.Signals(received)))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _hard_limit(seconds: float) -> Iterator[None]:
    """Ends the process where the body takes longer."""

    def give_up() -> None:
        log.error("not drained within %g s; ending without the rest", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
