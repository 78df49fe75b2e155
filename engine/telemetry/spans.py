"""A span for each image, with one below it for each stage, made after the fact of the seconds that its
verdict has; and a span for each batch, which its images and it link to.

A stage's span is as long as the stage of the whole batch, because the image waited for all of it; what was
the image's share stands beside it as `assay.stage.share`, in seconds.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assay.engine.outcome import Outcome, Reason, Verdict
from assay.engine.telemetry.traces import Headers

KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
CONTEXT = ("traceparent", "tracestate")
MOST_STATE = 512
"""Characters of `tracestate` that are carried on; a longer one is left out."""
SHOWN = 256
"""Characters of an image's id, and of what was wrong, that a span repeats."""
LAST_SECONDS = 2.0
"""At the end: how long the spans that are left may take to be sent."""
BEFORE = ("queue", "held")
"""Stages of an image by itself, before the worker began with its batch."""
FAULTS = {Reason.INTERNAL, Reason.OVERLOADED, Reason.DEADLINE}
"""Rejections that are not the image's own doing."""
NANO = 1_000_000_000

_w3c = TraceContextTextMapPropagator()


class Spans:
    """Makes spans and hands them to `processor`. The sampler, resource and limits are those of the standard
    variables; `service.name` is `assay` where these name none.

    A batch is recorded where an image of it is, whatever the sampler would make of a trace of its own.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "assay"}))
        self._processor = processor
        self._images = _tracer(TracerProvider(resource=resource, shutdown_on_exit=False), processor)
        batches = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._batches = _tracer(batches, processor)

    def caller(
        self, name: str, kind: Literal["server", "consumer"], headers: Headers, attributes: Mapping[str, Any]
    ) -> "Caller":
        """Who sent what came with these headers; `name` and `attributes` are those of its images' spans."""
        return Caller(self._images, name, KINDS[kind], _context(headers), attributes)

    def batch(
        self, traces: "Sequence[ImageTrace]", bundle: str, images: int, begun: float, ended: float
    ) -> None:
        """See `assay.engine.telemetry.traces.trace_batch`."""
        recorded = [trace for trace in traces if trace.span.is_recording()]
        if not recorded:
            return
        offset = _offset()
        about: dict[str, str | int] = {"assay.bundle": bundle, "assay.batch.images": images}
        links = [Link(trace.span.get_span_context()) for trace in recorded]
        start = offset + int(begun * NANO)
        span = self._batches.start_span("batch", Context(), attributes=about, links=links, start_time=start)
        span.end(offset + int(ended * NANO))
        for trace in recorded:
            trace.scored(span, images, begun)

    def stop(self) -> None:
        """Sends what is left, if that can be done in `LAST_SECONDS`."""
        last = threading.Thread(target=self._processor.shutdown, name="assay-traces", daemon=True)
        last.start()
        last.join(LAST_SECONDS)


class Caller:
    """Where images came from: the context that their spans continue, or none."""

    __slots__ = ("_attributes", "_context", "_kind", "_name", "_tracer")

    def __init__(
        self, tracer: Tracer, name: str, kind: SpanKind, context: Context, attributes: Mapping[str, Any]
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._context = context
        self._attributes = attributes

    def image(self, id: str) -> "ImageTrace":
        """The trace of an image that has just come."""
        about = {**self._attributes, "assay.image.id": id[:SHOWN]}
        return ImageTrace(
            self._tracer,
            self._tracer.start_span(self._name, self._context, self._kind, about),
        )


class ImageTrace:
    """The span of one image, from its coming to its outcome."""

    __slots__ = ("_begun", "_images", "_offset", "_tracer", "span")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self.span = span
        self._tracer = tracer
        self._offset = _offset()
        self._begun: float | None = None
        self._images = 1

    @property
    def trace_id(self) -> str:
        return f"{self.span.get_span_context().trace_id:032x}"

    def headers(self) -> list[tuple[str, bytes]]:
        """The context that goes on with the outcome."""
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, set_span_in_context(self.span, Context()))
        return [(name, value.encode()) for name, value in carrier.items()]

    def scored(self, batch: Span, images: int, begun: float) -> None:
        """A worker began with its batch of `images` at `begun`, and has the outcomes."""
        self.span.add_link(batch.get_span_context())
        self._begun, self._images = begun, images

    def said(self) -> list[int] | None:
        """What another process makes a `RemoteTrace` of; None where nothing is recorded."""
        return _said(self.span.get_span_context()) if self.span.is_recording() else None

    def scored_there(self, batch: Sequence[Any]) -> None:
        """`scored`, of what a `RemoteTrace` was told."""
        *context, images, begun = batch
        self.scored(NonRecordingSpan(_span_context(context)), images, begun)

    def done(self, future: Future[Outcome]) -> None:
        """The image has its outcome, or nobody waits for it any more."""
        span = self.span
        if not span.is_recording():
            return
        ended = time.monotonic()
        if future.cancelled():
            span.set_status(Status(StatusCode.ERROR, "the caller left"))
        elif error := future.exception():
            span.set_status(Status(StatusCode.ERROR, str(error)[:SHOWN]))
        else:
            self._told(future.result(), ended)
        span.end(self._at(ended))

    def _told(self, outcome: Outcome, ended: float) -> None:
        if isinstance(outcome, Verdict):
            self.span.set_attributes(
                {
                    "assay.outcome": outcome.label.value,
                    "assay.probability": outcome.probability,
                    "assay.bundle": outcome.bundle,
                    "assay.bundle.version": outcome.version,
                }
            )
            parent = set_span_in_context(self.span, Context())
            for stage, share, start, end in self._stages(outcome.seconds, ended):
                about = {"assay.stage.share": share}
                child = self._tracer.start_span(stage, parent, attributes=about, start_time=self._at(start))
                child.end(self._at(end))
            return
        self.span.set_attribute("assay.outcome", outcome.reason.value)
        if outcome.reason in FAULTS:
            self.span.set_status(Status(StatusCode.ERROR, outcome.detail[:SHOWN]))

    def _stages(
        self, seconds: Mapping[str, float], ended: float
    ) -> Iterator[tuple[str, float, float, float]]:
        """Name, share, begin and end of each, one after the other; what no worker scored ends with the
        outcome."""
        wall = {name: own * (1 if name in BEFORE else self._images) for name, own in seconds.items()}
        if self._begun is None:
            at = ended - sum(wall.values())
        else:
            at = self._begun - sum(wall.get(name, 0.0) for name in BEFORE)
        for name, own in seconds.items():
            yield name, own, at, (at := at + wall[name])

    def _at(self, moment: float) -> int:
        return self._offset + int(moment * NANO)


class RemoteTrace(ImageTrace):
    """The trace of an image whose span a front has: what is learnt here goes back with the outcome."""

    __slots__ = ("batch",)

    def __init__(self, said: Sequence[int]) -> None:
        self.span = _Elsewhere(_span_context(said))
        self.batch: list[Any] | None = None

    def scored(self, batch: Span, images: int, begun: float) -> None:
        self.batch = [*_said(batch.get_span_context()), images, begun]

    def done(self, future: Future[Outcome]) -> None:
        """The front sees to it."""


class _Elsewhere(NonRecordingSpan):
    def is_recording(self) -> bool:
        return True


def _said(context: SpanContext) -> list[int]:
    return [context.trace_id, context.span_id, context.trace_flags]


def _span_context(said: Sequence[int]) -> SpanContext:
    trace, span, flags = said
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))


def _tracer(provider: TracerProvider, processor: SpanProcessor) -> Tracer:
    provider.add_span_processor(processor)
    return provider.get_tracer("assay")


def _offset() -> int:
    """What makes nanoseconds since the epoch of those of `time.monotonic()`."""
    return time.time_ns() - time.monotonic_ns()


def _context(headers: Headers) -> Context:
    """The W3C context that headers hold; where that is none, or broken, a new trace begins. Of a name that
    comes twice the last value counts."""
    carrier: dict[str, str] = {}
    for name, value in headers:
        if (key := name.lower()) in CONTEXT and value is not None:
            carrier[key] = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if len(carrier.get("tracestate", "")) > MOST_STATE:
        del carrier["tracestate"]
    return _w3c.extract(carrier, Context()) if carrier else Context()
