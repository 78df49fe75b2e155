"""`assay serve`: one engine behind the doors that the options and settings open."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from assay.engine import server
from assay.engine.bundle import DEFAULT, find
from assay.engine.commands.log import start_log
from assay.engine.commands.options import (
    ConfigFile,
    Devices,
    Executor,
    Precision,
    Unmeasured,
    Verbose,
    Workers,
    engine_settings,
)
from assay.engine.config import load, read_config
from assay.engine.core import Core
from assay.engine.doors.grpc import GrpcSettings
from assay.engine.doors.http import HttpSettings
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
from assay.engine.errors import SetupError
from assay.engine.security.signature import public_key, verify
from assay.engine.telemetry.nvml import gpu_metrics

OPENING = {"grpc": "ASSAY_GRPC_ADDRESS", "http": "ASSAY_HTTP_ADDRESS", "kafka": "ASSAY_KAFKA_BROKERS"}
"""The variable that opens a door without an option or a table of the settings file."""


def serve_command(
    bundle: Annotated[
        list[str] | None,
        typer.Option("--bundle", "-b", help="A bundle to serve; repeat for more. First: default."),
    ] = None,
    grpc: Annotated[str | None, typer.Option("--grpc", help="HOST:PORT to serve gRPC on.")] = None,
    http: Annotated[str | None, typer.Option("--http", help="HOST:PORT for metrics and probes.")] = None,
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="Brokers, HOST:PORT, separated by commas.")
    ] = None,
    input_topic: Annotated[str | None, typer.Option("--in", help="Topic of images.")] = None,
    output_topic: Annotated[str | None, typer.Option("--out", help="Topic of verdicts.")] = None,
    rejects_topic: Annotated[str | None, typer.Option("--rejects", help="Topic of rejected images.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Consumer group.")] = None,
    require_signature: Annotated[
        Path | None,
        typer.Option(help="PEM file of an Ed25519 public key; bundles that it did not sign are not served."),
    ] = None,
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Serve gRPC and Kafka over one engine, until SIGTERM."""
    start_log(logging.DEBUG if verbose else logging.INFO)
    file = read_config(config)
    topics = {"input": input_topic, "output": output_topic, "rejects": rejects_topic, "group": group}
    wanted = {"grpc": grpc, "http": http, "kafka": kafka}
    doors = {name for name, address in wanted.items() if address is not None or name in file.values}
    doors |= {name for name, variable in OPENING.items() if variable in os.environ}
    if not doors & {"grpc", "kafka"}:
        raise SetupError(
            "nothing to serve: give --grpc HOST:PORT, --kafka BROKERS, or a settings file with one"
        )
    if "kafka" not in doors and any(topics.values()):
        raise SetupError("--in, --out, --rejects and --group belong to --kafka BROKERS")
    grpc_settings = load(GrpcSettings, file, "grpc", address=grpc) if "grpc" in doors else None
    http_settings = load(HttpSettings, file, "http", address=http) if "http" in doors else None
    serve_settings = load(server.ServeSettings, file, "serve")
    kafka_settings = load(KafkaSettings, file, "kafka", brokers=kafka, **topics) if "kafka" in doors else None
    settings = engine_settings(file, workers, precision, allow_unmeasured, devices, executor)
    server.check_addresses(grpc_settings, http_settings)
    bundles = [find(name) for name in bundle or [DEFAULT]]
    if require_signature:
        key = public_key(require_signature)
        for each in bundles:
            verify(each.path, key)
    core = Core(bundles, settings)
    with gpu_metrics(settings.devices):
        server.serve(
            core,
            grpc=grpc_settings,
            http=http_settings,
            kafka=[KafkaDoor(core, kafka_settings)] if kafka_settings else [],
            settings=serve_settings,
        )
