"""`assay export`: from a training run to a bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from assay.engine.errors import SetupError
from assay.trainers.cli.needs import need_torch
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit.run import kind_of
from assay.trainers.kinds import CROPS, KINDS

console = Console(stderr=True)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    bundle: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")],
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[str, typer.Option(help="SPDX name of the licence of the weights.")] = "Apache-2.0",
    checkpoint: Annotated[Literal["best", "last"], typer.Option(help="Which weights of the run.")] = "best",
    crops: Annotated[
        Literal["centre", "five"],
        typer.Option(help="Crops of a large image: its centre, or also its corners, averaged."),
    ] = "centre",
    min_side: Annotated[int, typer.Option(min=1, help="Smaller images are rejected.")] = 64,
    pt2: Annotated[
        bool, typer.Option("--pt2", help="Each graph as a torch.export program too: GPUs without TensorRT.")
    ] = False,
) -> None:
    """Write the network of a run as a bundle: manifest.json and its graphs as ONNX. Calibrate it next."""
    need_torch()
    kind = kind_of(run)
    if kind not in KINDS:
        raise SetupError(f"{run} is a run of an unknown kind, {kind!r}")
    module = KINDS[kind].load()
    if not hasattr(module, "export_run"):
        raise SetupError(f"{run}: a {kind} gives no verdict; name it to `assay train lnp --denoiser`")
    several = [name for name, kind_ in KINDS.items() if kind_.several_crops]
    if crops != "centre" and kind not in several:
        raise SetupError(f"--crops is for {' and '.join(several)}; {kind} has one view of an image")
    options = ExportOptions(name, version, licence, checkpoint == "best", CROPS[crops], min_side, pt2)
    written = module.export_run(run, bundle, options)
    console.print(
        f"{written.name} {written.version} in {bundle}; next: assay calibrate {bundle} --data ...",
        soft_wrap=True,
    )
