"""The one command line. Outcomes go to standard output, everything else to standard error.

Exit codes: 0 every file got an outcome; 2 a wrong option, path, bundle, address or broker (one sentence says
which); 1 the engine lost its last worker.
"""

import importlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer

from assay.engine import report
from assay.engine.bundle import DEFAULT, find, shipped
from assay.engine.commands import commands
from assay.engine.core import Core
from assay.engine.doors.files import find_files, read_file, scan
from assay.engine.errors import AssayError, EngineFault, SetupError
from assay.engine.outcome import Refused
from assay.engine.settings import Settings, load, read_config

app = typer.Typer(
    help="Tell camera photographs from AI-synthesised images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DOORS = ("grpc", "http", "kafka", "serve")
"""Tables of the settings file that are not the engine's."""

Config = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes, by default one a core; 0: none."),
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices", help="GPUs to run on, such as 0,1: a worker each, in the place of CPU workers."
    ),
]
Executor = Annotated[
    Literal["auto", "openvino", "tensorrt", "torch_export"] | None,
    typer.Option(
        "--executor", help="What runs the graphs, by default what the device and its libraries allow."
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16", "int8"] | None,
    typer.Option("--precision", help="By default the fastest one that was measured."),
]
Unmeasured = Annotated[
    bool | None, typer.Option("--allow-unmeasured", help="Serve a precision that the bundle does not list.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what the engine does.")]


@app.command("scan")
def scan_command(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with all that is below them.")],
    bundle: Annotated[
        str, typer.Option("--bundle", "-b", help="A shipped bundle, or a bundle's folder.")
    ] = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    page: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with thumbnails.")] = None,
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: Config = None,
    verbose: Verbose = False,
) -> None:
    """Score files and folders: one line for each regular file, a verdict or why there is none."""
    start_log(logging.INFO if verbose else logging.WARNING)
    written = {out.resolve() for out in (csv, page) if out}  # it may lie in a folder that is scanned

    def files() -> Iterator[Path]:
        return (path for path in find_files(paths) if not written or path.resolve() not in written)

    total = sum(1 for _ in files())
    settings = engine_settings(config, workers, precision, allow_unmeasured, _numbers(devices), executor)
    with report.writer(as_json, csv, page) as write:
        core = Core([find(bundle)], settings)
        try:
            start = perf_counter()
            tally = report.Tally()
            for path, outcome in report.with_progress(scan(core, files()), total):
                write(path, outcome)
                tally.add(outcome)
            print(tally.summary(perf_counter() - start), file=sys.stderr)
        finally:
            core.stop(0.0)


@app.command("explain")
def explain_command(
    image: Annotated[Path, typer.Argument(help="One image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write, such as OUT.png.")],
    bundle: Annotated[
        str, typer.Option("--bundle", "-b", help="A shipped bundle, or a bundle's folder.")
    ] = DEFAULT,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: Config = None,
) -> None:
    """Draw what the verdict on one image rests on; prints the line that `assay scan` prints."""
    from assay.engine.explain import explain

    start_log(logging.WARNING)
    settings = engine_settings(config, 0, precision, allow_unmeasured, devices=())
    if not image.is_file():
        raise SetupError(f"{image} is no file" if image.exists() else f"{image} does not exist")
    try:
        verdict, page = explain(image.name, read_file(image, settings.limits), find(bundle), settings)
    except Refused as refused:
        raise SetupError(f"{image} gets no verdict ({refused.reason.value}): {refused.detail}") from None
    try:
        page.save(out)
    except (OSError, ValueError) as error:  # ValueError: the suffix names no format
        raise SetupError(f"{out} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    with report.writer(False, None) as write:
        write(image, verdict)


@app.command("serve")
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
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: Config = None,
    verbose: Verbose = False,
) -> None:
    """Serve gRPC and Kafka over one engine, until SIGTERM."""
    from assay.engine.doors.grpc import GrpcSettings
    from assay.engine.doors.http import HttpSettings
    from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
    from assay.engine.nvml import gpu_metrics
    from assay.engine.serve import ServeSettings, check_addresses, serve

    start_log(logging.DEBUG if verbose else logging.INFO)
    tables = read_config(config)
    topics = {"input": input_topic, "output": output_topic, "rejects": rejects_topic, "group": group}
    wanted = {"grpc": grpc, "http": http, "kafka": kafka}
    doors = {name for name, address in wanted.items() if address or tables.get(name)}
    if not doors & {"grpc", "kafka"}:
        raise SetupError(
            "nothing to serve: give --grpc HOST:PORT, --kafka BROKERS, or a settings file with one"
        )
    if "kafka" not in doors and any(topics.values()):
        raise SetupError("--in, --out, --rejects and --group belong to --kafka BROKERS")
    grpc_settings = load(GrpcSettings, tables.get("grpc", {}), address=grpc) if "grpc" in doors else None
    http_settings = load(HttpSettings, tables.get("http", {}), address=http) if "http" in doors else None
    serve_settings = load(ServeSettings, tables.get("serve", {}))
    kafka_settings = (
        load(KafkaSettings, tables.get("kafka", {}), brokers=kafka, **topics) if "kafka" in doors else None
    )
    settings = engine_settings(config, workers, precision, allow_unmeasured, _numbers(devices), executor)
    check_addresses(grpc_settings, http_settings)
    core = Core([find(name) for name in bundle or [DEFAULT]], settings)
    with gpu_metrics(settings.devices):
        serve(
            core,
            grpc=grpc_settings,
            http=http_settings,
            kafka=[KafkaDoor(core, kafka_settings)] if kafka_settings else [],
            settings=serve_settings,
        )


@app.command("bundles")
def bundles_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the bundles that can be named."""
    for path in shipped():
        bundle = find(str(path))
        row = {"name": bundle.name, "version": bundle.version, "kind": bundle.kind, "path": str(path)}
        print(json.dumps(row) if as_json else "{name:<24} {version:<8} {kind:<8} {path}".format(**row))


def engine_settings(
    config: Path | None,
    workers: int | None,
    precision: str | None,
    allow_unmeasured: bool | None,
    devices: Sequence[int] | None = None,
    executor: str | None = None,
) -> Settings:
    """The engine's settings: options, then the environment, then the settings file."""
    table = {name: value for name, value in read_config(config).items() if name not in DOORS}
    return load(
        Settings,
        table,
        workers=workers,
        precision=precision,
        allow_unmeasured=allow_unmeasured,
        devices=devices,
        executor=executor,
    )


def _numbers(devices: str | None) -> list[int] | None:
    """The numbers in a list such as "0,1"; none in an empty one."""
    if devices is None:
        return None
    try:
        return [int(number) for number in devices.split(",")] if devices.strip() else []
    except ValueError:
        raise SetupError(f"--devices takes numbers of GPUs, such as 0,1, not {devices!r}") from None


def start_log(level: int) -> None:
    """Log to standard error."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))


def _elsewhere(name: str, module: str, extra: str, help: str) -> None:
    """A command whose module is loaded when it is called; it may stand where the engine must not import."""

    @app.command(
        name,
        help=help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def command(context: typer.Context) -> None:
        path, attribute = module.split(":")
        try:
            found = getattr(importlib.import_module(path), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("assay"):
                raise
            raise SetupError(
                f"`assay {name}` needs {error.name}, which is not installed: pip install 'assay[{extra}]'"
            ) from None
        if not isinstance(found, typer.Typer):
            alone = commands()
            alone.command()(found)
            found = alone
        found(args=context.args, prog_name=f"assay {name}")


_elsewhere("client", "assay.engine.client_command:client_command", "", "Send files and folders to a server.")
_elsewhere(
    "compile",
    "assay.engine.executors.compile:compile_command",
    "gpu",
    "Build a bundle's graphs for TensorRT ahead of time, or quantise them.",
)
_elsewhere("train", "assay.trainers.cli:train", "train", "Train a detector.")
_elsewhere("audit", "assay.trainers.data.audit_command:audit", "train", "Find what gives a data set away.")
_elsewhere("calibrate", "assay.trainers.cli:calibrate", "train", "Fit a bundle's calibration and thresholds.")
_elsewhere("evaluate", "assay.trainers.cli:evaluate", "train", "Measure a bundle on labelled images.")
_elsewhere("study", "assay.trainers.study.cli:app", "train", "Make the papers' tables and figures anew.")
_elsewhere("export", "assay.trainers.cli:export", "train", "Write a trained network as a bundle.")
_elsewhere("data", "assay.trainers.data.cli:build", "data,train", "Build the small benchmark from packages.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that is not a defect ends it with one sentence."""
    try:
        app(args=arguments, prog_name="assay")
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        raise SystemExit(1 if isinstance(error, EngineFault) else 2) from None
