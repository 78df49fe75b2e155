"""The one command line. Outcomes go to standard output, everything else to standard error.

Exit codes: 0 every file got an outcome; 2 a wrong option, path, bundle, address or broker (one sentence says
which); 1 the engine lost its last worker, or nobody reads its output on.
"""

import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer
from pydantic import BaseModel

from assay.engine.bundle import DEFAULT, find, shipped
from assay.engine.cli.group import commands
from assay.engine.cli.versions import versions
from assay.engine.config import Config, load, read_config, unknown_variables
from assay.engine.core import Core
from assay.engine.doors.files import find_files, one_file, read_file, scan
from assay.engine.errors import AssayError, EngineFault, SetupError
from assay.engine.outcome import Refused
from assay.engine.printable import printable
from assay.engine.quiet import keep_in_cache, keep_offline
from assay.engine.report import lines as report
from assay.engine.settings import Settings
from assay.engine.streams import allow_files, flush_output, open_closed, refusal, say, show_any_text
from assay.engine.worker.gpu import check_devices

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LAZY: dict[str, str] = {}
"""Commands whose module is loaded when they are called: MODULE:ATTRIBUTE, by name."""
OPENING = {"grpc": "ASSAY_GRPC_ADDRESS", "http": "ASSAY_HTTP_ADDRESS", "kafka": "ASSAY_KAFKA_BROKERS"}
"""The variable that opens a door without an option or a table of the settings file."""

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]
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


def show_versions(wanted: bool) -> None:
    if wanted:
        for name, number in versions():
            print(f"{name:<14} {number}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the versions that matter.", callback=show_versions, is_eager=True
        ),
    ] = False,
) -> None:
    """Tell camera photographs from AI-synthesised images."""
    if any(unknown_variables(Settings)):  # the doors take time to load
        for variable, nearest in unknown_variables(Settings, *_of_doors()):
            say(
                f"assay: warning: the environment variable {variable} is no setting; the nearest is {nearest}"
            )


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
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Score files and folders: one line for each regular file, a verdict or why there is none."""
    start_log(logging.INFO if verbose else logging.WARNING)
    settings = engine_settings(read_config(config), workers, precision, allow_unmeasured, devices, executor)
    chosen = find(bundle)
    with report.writer(as_json, csv, page) as write:
        written = {os.path.realpath(out) for out in (csv, page) if out}  # it may lie in a scanned folder

        def files(passed_over: Callable[[str], object]) -> Iterator[Path]:
            found = find_files(paths, passed_over)
            return (path for path in found if not written or os.path.realpath(path) not in written)

        total = sum(1 for _ in files(lambda _: None))
        core = Core([chosen], settings)
        try:
            start = perf_counter()
            tally = report.Tally()
            for path, outcome in report.with_progress(scan(core, files(say)), total):
                write(path, outcome)
                tally.add(outcome)
            say(tally.summary(perf_counter() - start))
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
    config: ConfigFile = None,
) -> None:
    """Draw what the verdict on one image rests on; prints the line that `assay scan` prints."""
    from assay.engine.explain import explain

    start_log(logging.WARNING)
    settings = engine_settings(read_config(config), 0, precision, allow_unmeasured, devices=())
    one_file(image)
    report.check_picture(out)
    try:
        verdict, page = explain(image.name, read_file(image, settings.limits), find(bundle), settings)
    except Refused as refused:
        raise SetupError(f"{image} gets no verdict ({refused.reason.value}): {refused.detail}") from None
    try:
        page.save(out)
    except OSError as error:
        raise SetupError(f"{out} cannot be written: {error.strerror or error}") from None
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
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Serve gRPC and Kafka over one engine, until SIGTERM."""
    from assay.engine.doors.grpc import GrpcSettings
    from assay.engine.doors.http import HttpSettings
    from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
    from assay.engine.server import ServeSettings, check_addresses, serve
    from assay.engine.telemetry.nvml import gpu_metrics

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
    serve_settings = load(ServeSettings, file, "serve")
    kafka_settings = load(KafkaSettings, file, "kafka", brokers=kafka, **topics) if "kafka" in doors else None
    settings = engine_settings(file, workers, precision, allow_unmeasured, devices, executor)
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
    config: Config,
    workers: int | None,
    precision: str | None,
    allow_unmeasured: bool | None,
    devices: str | Sequence[int] | None = None,
    executor: str | None = None,
) -> Settings:
    """The engine's settings: options, then the environment, then the settings file.

    There are fewer workers where the system grants too few open files. Raises SetupError where one of them is
    wrong or names a GPU that is not there.
    """
    settings = load(
        Settings,
        config,
        workers=workers,
        precision=precision,
        allow_unmeasured=allow_unmeasured,
        devices=() if devices == "" else devices,
        executor=executor,
    )
    check_devices(settings.devices)
    wanted = len(settings.devices) or settings.workers
    allowed = allow_files(wanted)
    if allowed == wanted:
        return settings
    say(f"assay: warning: {allowed} of {wanted} workers run, for want of open files; see `ulimit -n`")
    fewer = {"devices": settings.devices[:allowed]} if settings.devices else {"workers": allowed}
    return settings.model_copy(update=fewer)


def _of_doors() -> Sequence[type[BaseModel]]:
    from assay.engine.doors.grpc import GrpcSettings
    from assay.engine.doors.http import HttpSettings
    from assay.engine.doors.kafka import KafkaSettings
    from assay.engine.server import ServeSettings

    return GrpcSettings, HttpSettings, KafkaSettings, ServeSettings


class _Lines(logging.Formatter):
    """A record is one line, whatever names it has; a defect's traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


def start_log(level: int) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))


def _elsewhere(name: str, module: str, extra: str, help: str) -> None:
    """A command whose module is loaded when it is called; it may stand where the engine must not import."""
    LAZY[name] = module

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


_elsewhere("client", "assay.engine.cli.client:client_command", "", "Send files and folders to a server.")
_elsewhere(
    "compile",
    "assay.engine.cli.compile:compile_command",
    "gpu",
    "Build a bundle's graphs for TensorRT ahead of time, or quantise them.",
)
_elsewhere("train", "assay.trainers.cli.train:train", "train", "Train a detector.")
_elsewhere("audit", "assay.trainers.cli.audit:audit", "train", "Find what gives a data set away.")
_elsewhere("calibrate", "assay.trainers.cli.calibrate:calibrate", "train", "Fit calibration and thresholds.")
_elsewhere(
    "evaluate", "assay.trainers.cli.evaluate:evaluate", "train", "Measure a bundle on labelled images."
)
_elsewhere("study", "assay.trainers.cli.study:app", "train", "Make the papers' tables and figures.")
_elsewhere("export", "assay.trainers.cli.export:export", "train", "Write a trained network as a bundle.")
_elsewhere("data", "assay.trainers.cli.data:build", "data,train", "Build the small benchmark from packages.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that is not a defect ends it with one sentence."""
    report.OUTPUT_CLOSED = "stdout" in open_closed()
    show_any_text()
    keep_offline()
    keep_in_cache()
    try:
        try:
            app(args=arguments, prog_name="assay")
        finally:
            flush_output()
    except AssayError as error:
        say(f"assay: {error}")
        raise SystemExit(1 if isinstance(error, EngineFault) else 2) from None
    except OSError as error:
        say(f"assay: {refusal(error)}")
        raise SystemExit(2) from None
