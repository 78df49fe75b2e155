"""The options that several training commands share."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from assay.trainers.fit.run import RunConfig


def help_of(model: type[BaseModel], field: str) -> str:
    """The docstring of a field, on one line."""
    return " ".join((model.model_fields[field].description or "").split())


Data = Annotated[Path, typer.Option(help=help_of(RunConfig, "data"), show_default=False)]
MinSide = Annotated[int, typer.Option(min=0, help=help_of(RunConfig, "min_side"))]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that read and augment images, for each training process.")
]
