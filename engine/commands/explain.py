"""`assay explain`: what the verdict on one image rests on, drawn."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from assay.engine.bundle import DEFAULT, find
from assay.engine.commands.log import start_log
from assay.engine.commands.options import (
    BundleName,
    ConfigFile,
    Precision,
    Unmeasured,
    engine_settings,
)
from assay.engine.config import read_config
from assay.engine.doors.files import one_file, read_file
from assay.engine.errors import SetupError
from assay.engine.explain import explain
from assay.engine.outcome import Refused
from assay.engine.report import lines as report


def explain_command(
    image: Annotated[Path, typer.Argument(help="One image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write, such as OUT.png.")],
    bundle: BundleName = DEFAULT,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
) -> None:
    """Draw what the verdict on one image rests on; prints the line that `assay scan` prints."""
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
