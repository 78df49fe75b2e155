"""`assay serve`: one engine behind the doors that the options and settings open."""

import inspect
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic_settings import BaseSettings

from assay.engine import server
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
from assay.engine.config import Config, load, read_config
from assay.engine.control import Bundles, Control
from assay.engine.core import Core
from assay.engine.doors.door import Door, DoorKind
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.doors.kafka.shadow import shadow_topic
from assay.engine.errors import SetupError
from assay.engine.fronts import fronts_of
from assay.engine.fronts.fronts import Fronts
from assay.engine.fronts.process import Plan
from assay.engine.registry import DOORS, named
from assay.engine.security.signature import public_key, verify
from assay.engine.settings import MIB, Settings
from assay.engine.shadow import Shadow
from assay.engine.telemetry.logs import Format
from assay.engine.telemetry.nvml import gpu_metrics
from assay.engine.telemetry.traces import exported

KINDS: dict[str, DoorKind] = {name: named(DOORS, name, "door") for name in DOORS}


def serve_command(
    bundle: Annotated[
        list[str] | None,
        typer.Option("--bundle", "-b", help="A bundle to serve; repeat for more. First: default."),
    ] = None,
    require_signature: Annotated[
        Path | None,
        typer.Option(help="PEM file of an Ed25519 public key; bundles that it did not sign are not served."),
    ] = None,
    cache_mib: Annotated[
        int | None,
        typer.Option(help="MiB of outcomes kept for images that come again; 0: none."),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="A folder of bundles that may be loaded and unloaded by calls; without: none."),
    ] = None,
    fronts: Annotated[
        int | None,
        typer.Option(help="Processes that take images in by gRPC and Kafka; 1: the engine's own does."),
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="A bundle that scores a share of the images beside, for comparison.")
    ] = None,
    shadow_share: Annotated[float | None, typer.Option(help="That share, by default 0.1.")] = None,
    workers: Workers = None,
    devices: Devices = None,
    executor: Executor = None,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
    traces: Annotated[
        bool | None,
        typer.Option("--traces", help="Send traces to an OpenTelemetry collector; needs assay[trace]."),
    ] = None,
    log_format: Annotated[
        Format | None, typer.Option("--log-format", help="text, or json: an object a line.")
    ] = None,
    verbose: Verbose = False,
    **of_doors: str | None,
) -> None:
    """Serve gRPC and Kafka over one engine, until SIGTERM."""
    file = read_config(config)
    given = {"repository": repository, "shadow": shadow, "shadow_share": shadow_share}
    told = {"cache_mib": cache_mib, "fronts": fronts, "traces": traces, "log_format": log_format}
    serve_settings = load(server.ServeSettings, file, "serve", **given, **told)
    start_log(logging.DEBUG if verbose else logging.INFO, serve_settings.log_format)
    opened = list(_opened(file, of_doors))
    if not any(kind.scores for _, kind, _ in opened):
        ways = [_shown(KINDS[name]) for name in sorted(KINDS) if KINDS[name].scores]
        raise SetupError(f"nothing to serve: give {', '.join(ways)}, or a settings file with one")
    settings = engine_settings(file, workers, precision, allow_unmeasured, devices, executor)
    server.check_addresses((kind, each) for _, kind, each in opened)
    key = public_key(require_signature) if require_signature else None
    with Bundles(lambda folder: verify(folder, key) if key else None) as bundles:
        sources = [bundles.open(name) for name in bundle or [DEFAULT]]
        beside = _shadow(bundles, serve_settings, settings)
        reports = shadow_topic(
            next((each for _, _, each in opened if isinstance(each, KafkaSettings)), None), beside
        )
        with exported(serve_settings.traces), gpu_metrics(settings.devices):
            core = Core([source.bundle for source in sources], settings, serve_settings.cache_mib * MIB)
            control = Control(core, bundles, sources, serve_settings.repository)
            doors = _doors(core, control, opened, serve_settings)
            doors[:0] = [reports] if reports else []  # it ends when nothing is scored any more
            if beside:
                core.on_verdict.append(beside.see)
            server.serve(core, doors, serve_settings, control)
        if beside:
            beside.stop()


def _doors(
    core: Core,
    control: Control,
    opened: Sequence[tuple[str, DoorKind, BaseSettings]],
    serve_settings: server.ServeSettings,
) -> list[Door]:
    """Those of the engine's process, and the fronts with the others where there are several."""
    count = fronts_of(serve_settings.fronts, len(core.settings.devices), len(os.sched_getaffinity(0)))
    spread = [each for each in opened if each[1].spread] if count > 1 else []
    doors = [kind.make(core, chosen) for name, kind, chosen in opened if (name, kind, chosen) not in spread]
    if spread:
        plan = Plan(spread, core.settings, serve_settings.repository, serve_settings.traces)
        fronts = Fronts(core, plan, count)
        control.on_change.append(fronts.publish)
        for door in doors:
            door.ready_when(fronts.serving)
        doors.append(fronts)
    return doors


def _shadow(bundles: Bundles, serve_settings: server.ServeSettings, settings: Settings) -> Shadow | None:
    if serve_settings.shadow is None:
        return None
    bundle = bundles.open(serve_settings.shadow).bundle
    return Shadow(bundle, serve_settings.shadow_share, settings)


def _opened(file: Config, given: Mapping[str, str | None]) -> Iterator[tuple[str, DoorKind, BaseSettings]]:
    """The doors that an option, a table of the settings file or a variable opens: names, kinds, settings.

    Raises SetupError, also about options of a door that stays closed.
    """
    for name, kind in KINDS.items():
        values = {setting: given[_parameter(name, setting)] for setting in kind.options}
        variable = kind.prefix + kind.opening.upper()
        if values[kind.opening] is not None or name in file.values or variable in os.environ:
            yield name, kind, load(kind.settings, file, name, **values)
        elif any(values.values()):
            *others, last = (flag for flag, _ in list(kind.options.values())[1:])
            together = f"{', '.join(others)} and {last} belong" if others else f"{last} belongs"
            raise SetupError(f"{together} to {_shown(kind)}")


def _shown(kind: DoorKind) -> str:
    return f"{kind.options[kind.opening][0]} {kind.takes}"


def _parameter(door: str, setting: str) -> str:
    return f"{door}_{setting}"


def _with_options_of_doors() -> inspect.Signature:
    """The command's signature, the doors' options behind `--bundle`."""
    bundle, *others, _ = inspect.signature(serve_command).parameters.values()
    of_doors = [
        inspect.Parameter(
            _parameter(name, setting),
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[str | None, typer.Option(flag, help=help)],
        )
        for name, kind in sorted(KINDS.items())
        for setting, (flag, help) in kind.options.items()
    ]
    return inspect.Signature([bundle, *of_doors, *others])


_signature = _with_options_of_doors()
serve_command.__signature__ = _signature  # type: ignore[attr-defined]
serve_command.__annotations__ = {name: each.annotation for name, each in _signature.parameters.items()}
