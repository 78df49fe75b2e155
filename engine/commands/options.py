"""Options that commands share, and the engine's settings that they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from assay.engine.config import Config, load
from assay.engine.settings import ExecutorName, PrecisionName, Settings
from assay.engine.streams import allow_files, say
from assay.engine.worker.gpu import check_devices

BundleName = Annotated[str, typer.Option("--bundle", "-b", help="A shipped bundle, or a bundle's folder.")]
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
    ExecutorName | None,
    typer.Option(
        "--executor", help="What runs the graphs, by default what the device and its libraries allow."
    ),
]
Precision = Annotated[
    PrecisionName | None,
    typer.Option("--precision", help="By default the fastest one that was measured."),
]
Unmeasured = Annotated[
    bool | None, typer.Option("--allow-unmeasured", help="Serve a precision that the bundle does not list.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what the engine does.")]


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
