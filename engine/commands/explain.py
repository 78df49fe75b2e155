"""`assay explain`: what the verdict on an image rests on, drawn; of a folder, a page per image."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

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
from assay.engine.doors.files import find_files, one_file, read_file
from assay.engine.errors import SetupError
from assay.engine.explain import Explainer, explain
from assay.engine.explain.folder import explain_files, new_folder
from assay.engine.outcome import Refused
from assay.engine.report import lines as report
from assay.engine.settings import Settings
from assay.engine.streams import say


def explain_command(
    image: Annotated[Path, typer.Argument(help="One image, or a folder with all that is below it.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The picture to write, such as OUT.png; of a folder a new folder, for a page per image and "
            "`index.html`, which links them.",
        ),
    ],
    bundle: BundleName = DEFAULT,
    precision: Precision = None,
    allow_unmeasured: Unmeasured = None,
    config: ConfigFile = None,
) -> None:
    """Draw what the verdict on an image, or each of a folder, rests on; prints the lines of `assay scan`."""
    start_log(logging.WARNING)
    settings = engine_settings(read_config(config), 0, precision, allow_unmeasured, devices=())
    if image.is_dir():
        _folder(image, out, bundle, settings)
    else:
        _one(image, out, bundle, settings)


def _one(image: Path, out: Path, bundle: str, settings: Settings) -> None:
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


def _folder(top: Path, out: Path, bundle: str, settings: Settings) -> None:
    if out.suffix.lower() in Image.registered_extensions():
        raise SetupError(f"{top} is no file, and {out} is named as a picture: name a folder for its pages")
    chosen = find(bundle)
    new_folder(out)
    explainer = Explainer(chosen, settings)
    written = os.path.realpath(out)  # it may lie in the folder that is explained

    def ours(path: Path) -> bool:
        return os.path.commonpath([written, os.path.realpath(path)]) == written

    paths = (path for path in find_files([top], say) if not ours(path))
    with report.writer(False, None) as write:
        for path, outcome in explain_files(paths, top, out, explainer, settings.limits):
            write(path, outcome)
    say(f"{out / 'index.html'} links the pages")
