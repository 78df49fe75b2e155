"""The engine against the published procedure on the global-and-local detector, with the time of each stage.

    python -m assay.bench.fusing [IMAGES] [--backbone resnet50] [--pairs 3]

The procedure runs as published (see `assay.bench.published.fusing`) with torch on all cores; the engine runs
as it is served, a worker a core, in fp32, in int8 but for the view pass and, where the CPU computes in it, in
bf16. Weights are random, which changes no time; int8 is scaled on the images.
Each round runs every form once; rates and ratios are medians over the rounds.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from assay.bench import versus
from assay.bench.provenance import provenance
from assay.bench.published import fusing as published
from assay.engine.bundle import Bundle
from assay.engine.doors.files import find_files
from assay.trainers.export.bundle import with_int8, write_manifest
from assay.trainers.kinds.fusing.bundle import export, manifest_template
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.fusing.run import Backbone

STAGES = ("decode", "view", "backbone_view", "patches", "backbone", "fuse")


def main(
    images: Annotated[Path, typer.Argument(help="Folder of photographs.")] = Path("bench/demo/images"),
    backbone: Annotated[Backbone, typer.Option(help="The network.")] = "resnet50",
    count: Annotated[int, typer.Option(help="Images a run.")] = 24,
    pairs: Annotated[int, typer.Option(help="Rounds.")] = 3,
) -> None:
    """Print two tables in Markdown."""
    found = list(find_files([images]))
    files = [found[number % len(found)] for number in range(count)]
    network = Fusing(backbone).eval()
    with tempfile.TemporaryDirectory() as folder:
        named = {"name": "bench", "version": "0", "licence": "none"}
        bundle = export(network, Path(folder), manifest_template(min_side=8).model_copy(update=named))
        bundle = write_manifest(with_int8(bundle, found[:16]), bundle.path)
        runs = versus.rounds(_forms(network, bundle, files), pairs)
    print(f"Fusing with {backbone}, {count} photographs from {images.name}, {pairs} rounds.\n")
    print(provenance("assay", "torch", "openvino", "pillow", "simplejpeg", "numpy"), end="\n\n")
    print(versus.rate_table(runs))
    print(
        f"\nMilliseconds an image in each stage; torch used {torch.get_num_threads()} threads, a worker 1.\n"
    )
    print(versus.stage_table(runs, STAGES))


def _forms(network: Fusing, bundle: Bundle, files: Sequence[Path]) -> versus.Forms:
    engines = [
        (f"engine, {precision}", partial(versus.by_engine, bundle, precision, STAGES, files))
        for precision in versus.precisions(bundle)
    ]
    return [(versus.PEER, partial(versus.by_procedure, partial(published.score, network), files)), *engines]


if __name__ == "__main__":
    typer.run(main)
