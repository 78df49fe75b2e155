"""Traces while they are on, and the one question whether they are: without them nothing of OpenTelemetry is
imported, and an image costs a look at `None`.

A door asks who called, or wrote a record; None is the answer while traces are off. The caller makes a trace
for each image, which goes with the `Item` through the core. `assay.engine.telemetry.spans` is what records.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.engine.errors import SetupError
from assay.engine.item import Item

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import Caller, ImageTrace, RemoteTrace, Spans

Headers = Iterable[tuple[str, str | bytes | None]]
"""Names in any case, and values: what may hold a W3C trace context."""

_spans: "Spans | None" = None


def called(name: str, headers: Callable[[], Headers | None]) -> "Caller | None":
    """Who called `name`, a remote procedure or a method and path of HTTP; `headers` gives the metadata."""
    return None if _spans is None else _spans.caller(name, "server", headers() or (), {})


def consumed(topic: str, partition: int, offset: int, headers: Headers) -> "Caller | None":
    """Who wrote a record of Kafka."""
    if _spans is None:
        return None
    about = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.kafka.offset": offset,
    }
    return _spans.caller(f"process {topic}", "consumer", headers, about)


def trace_batch(traces: "Sequence[ImageTrace]", bundle: str, images: int, begun: float, ended: float) -> None:
    """A worker scored the images of `traces`, and others, as one batch of `images`; moments of
    `time.monotonic()`."""
    if _spans is not None:
        _spans.batch(traces, bundle, images, begun, ended)


def remote(said: Sequence[int]) -> "RemoteTrace":
    """The trace of an image of a front, as `ImageTrace.said` told of it."""
    from assay.engine.telemetry.spans import RemoteTrace  # the front has it already

    return RemoteTrace(said)


def about(item: Item) -> dict[str, str]:
    """`extra` of a line in the log that is about an image: its id, and that of its trace."""
    own = {"image": item.id}
    return own if item.trace is None else {**own, "trace_id": item.trace.trace_id}


@contextmanager
def recording(spans: "Spans") -> Iterator[None]:
    """While entered, images are traced by `spans`."""
    global _spans  # noqa: PLW0603
    _spans = spans
    try:
        yield
    finally:
        _spans = None
        spans.stop()


@contextmanager
def exported(wanted: bool) -> Iterator[None]:
    """While entered, and if `wanted`, images are traced and spans sent by OTLP, as `OTEL_` variables say.

    Raises SetupError where OpenTelemetry is not installed, or a variable is wrong.
    """
    if not wanted:
        yield
        return
    try:
        from assay.engine.telemetry.otlp import spans
    except ImportError as error:
        raise SetupError(
            f"traces need OpenTelemetry, and {error.name or error} is missing: pip install 'assay[trace]'"
        ) from None
    with recording(spans()):
        yield
