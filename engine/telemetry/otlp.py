"""Where spans go in service: to an OTLP collector, by gRPC, in a thread of OpenTelemetry's own.

What is not sent yet is bounded (`OTEL_BSP_MAX_QUEUE_SIZE`, by default 2048 spans); beyond it the oldest are
dropped. Nothing of an image waits for it.
"""

import logging
import os

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from assay.engine.errors import SetupError
from assay.engine.telemetry.spans import Spans

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def spans() -> Spans:
    """Spans that are exported as the standard `OTEL_` variables say. Raises SetupError."""
    named = next((name for name in PROTOCOLS if os.environ.get(name)), None)
    if named and os.environ[named] != "grpc":
        raise SetupError(
            f"{named} is {os.environ[named]!r}: traces go out by gRPC alone; set it to grpc, or unset it, "
            "and name the collector's gRPC port (4317) in OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    # what callers send as tracestate is not worth a line each
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
    try:
        return Spans(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise SetupError(f"traces cannot be exported as the OTEL_ variables say: {error}") from None
