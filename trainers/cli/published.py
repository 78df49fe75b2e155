"""`assay import`: from a checkpoint of the papers' published code to a bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from assay.engine.errors import SetupError
from assay.trainers.cli.needs import need_torch
from assay.trainers.fit.run import FILE

console = Console(stderr=True)


def import_weights(
    kind: Annotated[
        Literal["fusing", "apn", "denoiser"],
        typer.Argument(
            help="fusing: Patch5Model, such as PSM.pth. apn: MainModel, such as MainModel_epoch_9.pth. "
            "denoiser: CycleISP's, such as sidd_rgb.pth."
        ),
    ],
    file: Annotated[
        Path, typer.Argument(help="File of weights. It is read as tensors; code in it is refused.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the bundle; of a denoiser for --denoiser of `train lnp`."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the bundle. [default: KIND-published]")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[
        str, typer.Option(help="SPDX name of the licence of the weights; their authors say which it is.")
    ] = "NOASSERTION",
    pt2: Annotated[
        bool, typer.Option("--pt2", help="Each graph as a torch.export program too: GPUs without TensorRT.")
    ] = False,
) -> None:
    """Make a bundle of weights that a paper's published code has written. Calibrate it next."""
    need_torch()
    from assay.trainers.export import published

    for there in (FILE, "manifest.json"):
        if (out / there).exists():
            raise SetupError(f"{out} holds a {there} already: name another folder")
    if kind == "denoiser":
        published.import_denoiser(file, out)
        console.print(
            f"a denoiser in {out}; next: assay train lnp --denoiser {out} --data ...", soft_wrap=True
        )
        return
    make = published.import_fusing if kind == "fusing" else published.import_apn
    named = {"name": name or f"{kind}-published", "version": version, "licence": licence}
    written = make(file, out, named, programs=pt2)
    console.print(
        f"{written.name} {written.version} in {out}; next: assay calibrate {out} --data ...", soft_wrap=True
    )
