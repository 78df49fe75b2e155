"""Traces: spans of real outcomes, contexts over every door, a collector that is there, hangs or is away."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support.images import evil, good
from support.stub_core import Switch

from assay.engine.client import Client
from assay.engine.core import Core
from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.doors.kafka.answer import to_answer
from assay.engine.doors.kafka.emitter import Emitter
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.doors.kafka.records import to_item
from assay.engine.errors import EngineFault, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.telemetry import otlp, spans, traces
from assay.engine.telemetry.spans import Spans

PHOTO = good()["jpeg 4:2:0"].data
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
VERDICT = Verdict(
    "a", Label.SYNTHETIC, 0.9, {"plain": 2.0}, "b", "1.0.0", seconds={"queue": 0.5, "decode": 0.1}
)


@pytest.fixture(autouse=True)
def standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    with traces.recording(Spans(SimpleSpanProcessor(exporter))):
        yield exporter


def image(id: str = "a", **headers: str) -> Item:
    caller = traces.called("test", lambda: list(headers.items()))
    assert caller is not None
    return Item(id, PHOTO, trace=caller.image(id))


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def record(**changed: Any) -> Any:
    fields = {"topic": "in", "partition": 5, "offset": 77, "key": b"k", "value": PHOTO, "headers": []}
    return SimpleNamespace(**{**fields, **changed})


def test_a_stage_has_a_span_below_that_of_its_image(inline: Core, exporter: InMemorySpanExporter) -> None:
    [outcome] = [each.result(60) for each in inline.submit([image(traceparent=PARENT)])]
    assert isinstance(outcome, Verdict)
    until(lambda: named(exporter, "test"))
    [whole] = named(exporter, "test")
    assert whole.kind is SpanKind.SERVER
    assert whole.parent is not None
    assert (f"{whole.parent.trace_id:032x}", f"{whole.parent.span_id:016x}") == (TRACE, SPAN)
    assert whole.attributes is not None
    assert whole.attributes["assay.image.id"] == "a"
    assert whole.attributes["assay.outcome"] == outcome.label.value
    stages = [span for span in exporter.get_finished_spans() if span.parent == whole.context]
    assert [span.name for span in stages] == list(outcome.seconds)
    at = whole.start_time
    for span in stages:
        assert span.attributes is not None
        assert span.attributes["assay.stage.share"] == outcome.seconds[span.name]
        assert at is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert at - 1000 <= span.start_time <= span.end_time  # nanoseconds; rounded one by one
        at = span.end_time
    assert whole.end_time is not None
    assert at is not None
    assert at <= whole.end_time


def test_a_batch_and_its_images_link_to_each_other(core: Core, exporter: InMemorySpanExporter) -> None:
    count = 24
    sent = [image(str(number)) for number in range(count)] + [Item("untraced", PHOTO)] * 4
    for future in core.submit(sent, wait=True):
        future.result(60)
    until(lambda: len(named(exporter, "test")) == count)
    images = {span.context.span_id: span for span in named(exporter, "test")}
    batches = {span.context.span_id: span for span in named(exporter, "batch")}
    linked = [link.context.span_id for batch in batches.values() for link in batch.links]
    assert sorted(linked) == sorted(images)
    for span in images.values():
        [link] = span.links
        batch = batches[link.context.span_id]
        assert span.context.span_id in [each.context.span_id for each in batch.links]
        assert batch.parent is None
        assert batch.context.trace_id != span.context.trace_id
        assert batch.attributes is not None
        assert len(batch.links) <= batch.attributes["assay.batch.images"] <= core.settings.batch


def test_a_rejection_says_its_reason_and_is_no_fault_of_the_server(
    inline: Core, exporter: InMemorySpanExporter
) -> None:
    for name, one in evil().items():
        made = image(name)
        inline.submit([Item(name, one.data, trace=made.trace)], wait=True)[0].result(60)
    until(lambda: len(named(exporter, "test")) == len(evil()))
    for span in named(exporter, "test"):
        assert span.attributes is not None
        outcome = span.attributes["assay.outcome"]
        assert (outcome in set(Label)) or (
            outcome in set(Reason) and span.status.status_code is StatusCode.UNSET
        )


@pytest.mark.parametrize("reason", [Reason.INTERNAL, Reason.OVERLOADED, Reason.DEADLINE])
def test_what_the_server_did_not_do_is_an_error(exporter: InMemorySpanExporter, reason: Reason) -> None:
    future: Future[Outcome] = Future()
    future.set_result(Rejection("a", reason, "x" * 10_000))
    trace = image().trace
    assert trace is not None
    trace.done(future)
    [span] = named(exporter, "test")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "x" * spans.SHOWN


def test_a_lost_engine_and_a_caller_that_left_end_their_spans(exporter: InMemorySpanExporter) -> None:
    lost: Future[Outcome] = Future()
    lost.set_exception(EngineFault("no worker is left"))
    left: Future[Outcome] = Future()
    left.cancel()
    for future in (lost, left):
        trace = image().trace
        assert trace is not None
        trace.done(future)
    assert [span.status.description for span in named(exporter, "test")] == [
        "no worker is left",
        "the caller left",
    ]


def test_a_long_id_is_cut(exporter: InMemorySpanExporter) -> None:
    future: Future[Outcome] = Future()
    future.set_result(VERDICT)
    trace = image("i" * (1 << 20)).trace
    assert trace is not None
    trace.done(future)
    [span] = named(exporter, "test")
    assert span.attributes is not None
    assert span.attributes["assay.image.id"] == "i" * spans.SHOWN


def test_what_the_caller_does_not_sample_is_not_recorded(
    inline: Core, exporter: InMemorySpanExporter
) -> None:
    item = image(traceparent=UNSAMPLED)
    inline.submit([item])[0].result(60)
    inline.submit([image("b")])[0].result(60)
    until(lambda: named(exporter, "test"))
    assert [span.attributes["assay.image.id"] for span in named(exporter, "test") if span.attributes] == ["b"]
    assert len(named(exporter, "batch")) == 1
    assert item.trace is not None
    assert dict(item.trace.headers())["traceparent"].decode().startswith(f"00-{TRACE}-")
    assert dict(item.trace.headers())["traceparent"].decode().endswith("-00")


def test_the_sampler_is_that_of_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    exporter = InMemorySpanExporter()
    future: Future[Outcome] = Future()
    future.set_result(VERDICT)
    with traces.recording(Spans(SimpleSpanProcessor(exporter))):
        for item in (image(), image(traceparent=PARENT)):
            assert item.trace is not None
            item.trace.done(future)
    [span] = named(exporter, "test")
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.resource.attributes["service.name"] == "mine"


CONTEXTS = st.text(max_size=60) | st.just(PARENT) | st.just("k=" + "v" * 600) | st.just("a=1,b=2")


@given(CONTEXTS, CONTEXTS)
def test_no_context_breaks_a_span(parent: str, state: str) -> None:
    maker = Spans(SimpleSpanProcessor(InMemorySpanExporter()))
    headers = [("Traceparent", parent), ("tracestate", state), ("other", None)]
    trace = maker.caller("x", "server", headers, {}).image("a")
    assert trace.trace_id != TRACE or parent.strip() == PARENT
    assert sum(len(value) for _, value in trace.headers()) < 700


def test_a_record_and_its_answer_carry_the_context(exporter: InMemorySpanExporter) -> None:
    carried = [("traceparent", PARENT.encode()), ("tracestate", b"a=1"), ("h", b"1")]
    of = record(headers=carried)
    item = to_item(of, "assay.id")
    assert item.trace is not None
    future: Future[Outcome] = Future()
    future.set_result(VERDICT)
    item.trace.done(future)
    [span] = named(exporter, "process in")
    assert span.kind is SpanKind.CONSUMER
    assert span.attributes is not None
    assert span.attributes["messaging.destination.partition.id"] == "5"
    for outcome in (VERDICT, Rejection("a", Reason.TRUNCATED, "short")):
        answer = to_answer(
            of,
            outcome,
            output="out",
            rejects="rej",
            partitions={"out": 1, "rej": 1},
            limits={"out": 1 << 20, "rej": 1 << 20},
            context=item.trace.headers(),
        )
        own = [(name, value) for name, value in answer.headers if name in ("traceparent", "tracestate", "h")]
        assert own == [
            ("h", b"1"),
            ("traceparent", f"00-{TRACE}-{span.context.span_id:016x}-01".encode()),
            ("tracestate", b"a=1"),
        ]


def test_the_emitter_sends_the_context_of_the_image(exporter: InMemorySpanExporter) -> None:
    of = record(headers=[("traceparent", PARENT.encode())])
    item = to_item(of, "assay.id")
    assert item.trace is not None
    future: Future[Outcome] = Future()
    future.set_result(VERDICT)
    emitter: Any = SimpleNamespace(
        _settings=SimpleNamespace(output="out", rejects="rej", cloudevents_source=None),
        _topics=SimpleNamespace(partitions={"out": 1}),
        _limits={"out": 1 << 20},
    )
    answer = Emitter._answer(emitter, Partition(), Taken(of, 0, future, item.trace))
    assert answer is not None
    assert answer.headers == item.trace.headers() != of.headers


def test_without_traces_a_record_keeps_its_context() -> None:
    of = record(headers=[("traceparent", PARENT.encode())])
    assert to_item(of, "assay.id").trace is None
    limits = {"out": 1 << 20, "rej": 1 << 20}
    answer = to_answer(
        of, VERDICT, output="out", rejects="rej", partitions={"out": 1, "rej": 1}, limits=limits
    )
    assert answer.headers == [("traceparent", PARENT.encode())]


def test_contexts_come_by_grpc_and_http(inline: Core, exporter: InMemorySpanExporter, ready: Switch) -> None:
    from assay.engine.wire.assay.v1 import scoring_pb2 as pb
    from assay.engine.wire.assay.v1 import scoring_pb2_grpc

    door = GrpcDoor(inline, GrpcSettings(address="127.0.0.1:0"))
    web = HttpDoor(HttpSettings(address="127.0.0.1:0"), ready, inline)
    door.start()
    web.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{door.port}") as channel:
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)
            metadata = [("traceparent", PARENT)]
            stub.Score(pb.ScoreRequest(image=pb.Image(id="unary", data=PHOTO)), metadata=metadata)
            images = [pb.Image(id=f"stream {number}", data=PHOTO) for number in range(2)]
            list(stub.ScoreStream(iter([pb.ScoreStreamRequest(images=images)]), metadata=metadata))
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
        connection.request("POST", "/v1/score?id=web", PHOTO, {"Traceparent": PARENT})
        connection.getresponse().read()
        connection.close()
    finally:
        web.stop()
        door.stop()
    names = ["assay.v1.ScoringService/Score", *["assay.v1.ScoringService/ScoreStream"] * 2, "POST /v1/score"]
    until(lambda: sum(len(named(exporter, name)) for name in set(names)) == len(names))
    for name in set(names):
        for span in named(exporter, name):
            assert span.parent is not None
            assert f"{span.parent.span_id:016x}" == SPAN


@pytest.fixture
def ready() -> Switch:
    return Switch()


def test_off_nothing_is_imported_and_no_image_has_a_trace() -> None:
    code = (
        "import sys\n"
        "from assay.engine.commands import serve\n"
        "from assay.engine.telemetry import traces\n"
        "with traces.exported(False):\n"
        "    assert traces.called('x', lambda: 1 / 0) is None\n"
        "    assert traces.consumed('t', 0, 0, []) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_packages_a_sentence_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.engine.telemetry.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(SetupError, match=r"pip install 'assay\[trace\]'"), traces.exported(True):
        raise AssertionError


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(SetupError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'http/protobuf'"):
        otlp.spans()


class Collector:
    """An OTLP collector on loopback; while `held` it answers nothing."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.spans: list[Any] = []
        self.asked = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            ExportTraceServiceRequest.FromString,
            ExportTraceServiceResponse.SerializeToString,
        )
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {"Export": handler})]
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _export(self, request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        self.asked.set()
        while self.held.is_set():
            time.sleep(0.01)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return ExportTraceServiceResponse()

    def stop(self) -> None:
        self.held.clear()
        self._server.stop(None).wait()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    yield collector
    collector.stop()


def test_spans_reach_a_collector_also_those_of_the_end(inline: Core, collector: Collector) -> None:
    with traces.exported(True):
        inline.submit([image(traceparent=PARENT)])[0].result(60)
        inline.stop()
    found = {span.name for span in collector.spans}
    assert {"test", "batch", "queue", "decode", "classify"} <= found
    whole = next(span for span in collector.spans if span.name == "test")
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, SPAN)


def test_a_collector_that_hangs_holds_up_no_outcome_and_not_the_end(
    inline: Core, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "LAST_SECONDS", 0.1)
    collector.held.set()
    with traces.exported(True):
        inline.submit([image("first")])[0].result(60)
        assert collector.asked.wait(60)  # from here on an export is under way, and never answered
        sent = [image(str(number)) for number in range(100)]
        for future in inline.submit(sent, wait=True):
            assert isinstance(future.result(60), Verdict)
        assert traces._spans is not None
        processor: Any = traces._spans._processor
        until(lambda: len(processor._batch_processor._queue) == 64)
    assert not collector.spans


def test_a_collector_that_is_away_ends_nothing(
    inline: Core, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "LAST_SECONDS", 0.1)
    collector.stop()
    with traces.exported(True):
        assert isinstance(inline.submit([image()])[0].result(60), Verdict)


def test_the_client_of_the_project_works_while_traces_are_on(
    inline: Core, exporter: InMemorySpanExporter
) -> None:
    door = GrpcDoor(inline, GrpcSettings(address="127.0.0.1:0"))
    door.start()
    try:
        with Client(f"127.0.0.1:{door.port}") as client:
            assert client.score(PHOTO) is not None
    finally:
        door.stop()
