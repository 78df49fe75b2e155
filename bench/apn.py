"""The engine against the published procedure on the purification network, with the time of each stage.

    python -m assay.bench.apn [IMAGES] [--count 24] [--pairs 3]

The procedure runs as published (see `assay.bench.published.apn`) with torch on all cores; the engine runs as
it is served, a worker a core, in fp32, in int8 but for the proposals and, where the CPU computes in it, in
bf16: K = 15 with Swin-T and ResNet-18 on both sides, and the bundle that ships with Assay beside them.
Weights of the former are random: networks take the same time with any, purification about what it takes at
the start of training. Each round runs every form once; rates and ratios are medians over the rounds.
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
from assay.bench.published import apn as published_apn
from assay.engine import bundle as bundles
from assay.engine.bundle import Bundle
from assay.engine.detectors.apn import proposals
from assay.engine.doors.files import find_files
from assay.trainers.export.bundle import with_int8, write_manifest
from assay.trainers.kinds.apn.bundle import export, manifest_template
from assay.trainers.kinds.apn.network import APN

STAGES = ("decode", "view", "spectrum", "propose", "purify", "classify")
LIGHT = "apn-mobilenet"


def main(
    images: Annotated[Path, typer.Argument(help="Folder of photographs.")] = Path("bench/demo/images"),
    count: Annotated[int, typer.Option(help="Images a run.")] = 24,
    pairs: Annotated[int, typer.Option(help="Rounds.")] = 3,
) -> None:
    """Print two tables in Markdown."""
    found = list(find_files([images]))
    files = [found[number % len(found)] for number in range(count)]
    torch.manual_seed(0)
    network = APN().eval()
    light = bundles.find(LIGHT)
    with tempfile.TemporaryDirectory() as folder:
        named = {"name": "paper", "version": "0", "licence": "none"}
        paper = export(
            network, Path(folder), manifest_template(network.proposals, network.size).model_copy(update=named)
        )
        paper = write_manifest(with_int8(paper, found[:16]), paper.path)
        runs = versus.rounds(_forms(network, (paper, light), files), pairs)
    print(
        f"APN, {count} photographs from {images.name}, {pairs} rounds. Paper: K = 15, Swin-T and ResNet-18, "
        f"224 pixels,\nrandom weights. {light.name}: K = {proposals(light.manifest)}, "
        f"{light.manifest.view.size} pixels.\n"
    )
    print(provenance("assay", "torch", "openvino", "pillow", "simplejpeg", "numpy", "scipy"), end="\n\n")
    print(versus.rate_table(runs))
    print(
        "\nMilliseconds an image in each stage, and their share of all stages; `classify` is the backbones, "
        f"`spectrum` the\nFFT. Torch used {torch.get_num_threads()} threads, a worker 1.\n"
    )
    print(versus.stage_table(runs, STAGES, shares=True))


def _forms(network: APN, served: Sequence[Bundle], files: Sequence[Path]) -> versus.Forms:
    engines = [
        (f"engine, {one.name}, {precision}", partial(versus.by_engine, one, precision, STAGES, files))
        for one in served
        for precision in versus.precisions(one)
    ]
    procedure = partial(versus.by_procedure, partial(published_apn.score, network), files)
    return [(versus.PEER, procedure), *engines]


if __name__ == "__main__":
    typer.run(main)
