"""`assay bench`: how many images a second, and how soon, under load that it makes itself."""

import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from assay.engine.bundle import DEFAULT
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
from assay.engine.commands.versions import versions
from assay.engine.config import Config, load, read_config
from assay.engine.doors.address import parse_address
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import AssayError, SetupError
from assay.engine.load.arrivals import check_number
from assay.engine.load.images import Images, from_paths, from_size
from assay.engine.load.page import page
from assay.engine.load.place import Place
from assay.engine.load.progress import progress
from assay.engine.load.result import Result, WayName
from assay.engine.load.session import STOPPED, Plan, Rate, Session
from assay.engine.load.text import text
from assay.engine.load.ways import HELD_IMAGES, Ways
from assay.engine.report.lines import check_file
from assay.engine.security.client import channel_credentials, read_token
from assay.engine.settings import DAY

GROUP = "assay-bench"
RATES = "25%,50%,75%,90%"
PIXELS = 50_000_000
"""Most of a made image."""
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended."""


def bench_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Images to send: files, and folders with all below them; without: made ones."),
    ] = None,
    over: Annotated[
        list[WayName] | None,
        typer.Option(
            "--over",
            help="What carries the images; repeat for more. By default kafka with --kafka, else unary.",
        ),
    ] = None,
    rates: Annotated[
        str,
        typer.Option(
            help="Open loops: images/s, or shares of the closed loop's, with commas between. Empty: none."
        ),
    ] = RATES,
    outstanding: Annotated[
        int, typer.Option(min=1, max=HELD_IMAGES, help="Closed loop: images that are under way at a time.")
    ] = 64,
    seconds: Annotated[float, typer.Option(help="Seconds that each load is measured.")] = 10.0,
    warm_up: Annotated[
        float, typer.Option(help="Seconds of each load before that, which do not count.")
    ] = 3.0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels of made images.")] = "512x384",
    images: Annotated[int, typer.Option(min=1, max=10_000, help="How many different images are made.")] = 100,
    grpc: Annotated[
        str | None, typer.Option("--grpc", help="HOST:PORT of a server that runs; without: one is started.")
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS; implied by the files of certificates.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM file of the authorities that the server's certificate may be signed by."),
    ] = None,
    certificate_file: Annotated[
        Path | None, typer.Option(help="PEM file of this client's certificate; with --key-file.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that goes with each call.")
    ] = None,
    per_message: Annotated[
        int, typer.Option(min=1, max=128, help="Stream: most images of a message; none waits for others.")
    ] = 1,
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="Brokers, HOST:PORT, of a server that runs.")
    ] = None,
    in_topic: Annotated[str | None, typer.Option("--in", help="Topic that the server reads.")] = None,
    out: Annotated[str | None, typer.Option("--out", help="Topic of its verdicts.")] = None,
    rejects: Annotated[str | None, typer.Option("--rejects", help="Topic of its rejections.")] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help=f"Start a server on these topics, too, in the group {GROUP}."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", "-b", help="A shipped bundle or a bundle's folder; with --grpc one that is served."
        ),
    ] = None,
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Measure how many images a second a server or engine scores, and how soon: first with a fixed number of
    images under way (closed loop), then at fixed rates of random arrivals (open loop).
    """
    start_log(logging.INFO if verbose else logging.WARNING)
    file = read_config(config)
    settings = engine_settings(file, workers, precision, allow_unmeasured, devices, executor)
    credentials = channel_credentials(tls, ca_file, certificate_file, key_file)
    if grpc:
        parse_address(grpc, "gRPC")
    elif credentials or token_file:
        raise SetupError("TLS and --token-file belong to --grpc HOST:PORT, a server that runs")
    token = read_token(token_file) if token_file else None
    chosen: list[WayName] = list(dict.fromkeys(over or [WayName.KAFKA if kafka else WayName.UNARY]))
    topics = _kafka(file, kafka, in_topic, out, rejects) if WayName.KAFKA in chosen else None
    if bundle and topics and not serve:
        raise SetupError("--bundle belongs to a server that is started: give --serve, or leave it out")
    plan = Plan(
        chosen,
        _rates(rates),
        outstanding,
        _seconds("--warm-up", warm_up, 0.0),
        _seconds("--seconds", seconds, 0.1),
    )
    for rate in plan.rates:
        if not rate.share:
            check_number(rate.value, plan.warm_up + plan.seconds)
    if report:
        check_file(report)
    ways = Ways(
        _images(paths or [], size, images),
        bundle or DEFAULT,
        settings,
        Place(grpc, credentials, token, bundle or "") if grpc else None,
        topics,
        serve,
        per_message,
    )
    _run(plan, ways, as_json, report)


def _installed() -> Iterator[tuple[str, str]]:
    return ((name, number) for name, number in versions() if number != "not installed")


def _run(plan: Plan, ways: Ways, as_json: bool, report: Path | None) -> None:
    failure: AssayError | None = None
    with progress(plan.total) as watch:
        session = Session(plan, ways, _installed(), watch)
        try:
            result = session.run()
        except AssayError as error:
            failure, result = error, session.result(str(error))
    if result.ways or failure is None:
        _show(result, as_json, report)
    if failure:
        raise failure
    if result.ended == STOPPED:
        raise typer.Exit(INTERRUPTED)


def _show(result: Result, as_json: bool, report: Path | None) -> None:
    print(result.model_dump_json(indent=1) if as_json else text(result))
    if report:
        try:
            report.write_text(page(result), "utf-8")
        except OSError as error:
            raise SetupError(f"{report} cannot be written: {error.strerror}") from None


def _images(paths: list[Path], size: str, count: int) -> Images:
    if paths:
        return from_paths(paths)
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size)
    if not found or int(found[1]) * int(found[2]) > PIXELS:
        raise SetupError(
            f"option --size: {size!r} is no WIDTHxHEIGHT of at most {PIXELS // 1_000_000} megapixels"
        )
    return from_size(int(found[1]), int(found[2]), count)


def _rates(words: str) -> list[Rate]:
    return [_rate(word.strip()) for word in words.split(",")] if words.strip() else []


def _rate(word: str) -> Rate:
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise SetupError(
            f"option --rates: {word!r} is neither images/s, such as 50, nor a share of what the closed loop "
            "gave, such as 80%"
        )
    return Rate(value / 100, share=True) if word.endswith("%") else Rate(value)


def _seconds(option: str, value: float, least: float) -> float:
    if not least <= value <= DAY:
        raise SetupError(f"option {option}: {value:g} s are not between {least:g} and {DAY:g}")
    return value


def _kafka(
    file: Config, brokers: str | None, in_topic: str | None, out: str | None, rejects: str | None
) -> KafkaSettings:
    """Whatever group the settings name is that of a server in use, and none of a measurement's."""
    return load(
        KafkaSettings,
        file,
        "kafka",
        brokers=brokers,
        input=in_topic,
        output=out,
        rejects=rejects,
        group=GROUP,
    )
