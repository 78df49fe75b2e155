"""The options that several training commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import BaseModel

from assay.engine.settings import ExecutorName
from assay.trainers.data.only import HELP
from assay.trainers.fit.run import RunConfig


def help_of(model: type[BaseModel], field: str) -> str:
    """The docstring of a field, on one line."""
    return " ".join((model.model_fields[field].description or "").split())


Data = Annotated[Path, typer.Option(help=help_of(RunConfig, "data"), show_default=False)]
MinSide = Annotated[int, typer.Option(min=0, help=help_of(RunConfig, "min_side"))]
Only = Annotated[list[str] | None, typer.Option("--only", help=HELP, show_default=False)]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks run: auto (a GPU if there is one), cpu, cuda, or cuda:N, the GPU of that number."
    ),
]
Executor = Annotated[
    ExecutorName,
    typer.Option(help="What runs the graphs of bundles, by default what the device and its libraries allow."),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16", "int8"],
    typer.Option(
        help="What the graphs of bundles compute in, measured or not; auto: the fastest that was measured."
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that read and augment images, for each training process.")
]
