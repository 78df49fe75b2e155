"""The noise-pattern detector with CycleISP's denoiser and with the student, against the published procedure.

    python -m assay.bench.lnp [IMAGES] [--count 8] [--pairs 3]

The procedure runs as published (see `assay.bench.published.lnp`) with torch on all cores; the engine runs as
it is served, a worker a core, in fp32 and, where the CPU computes in it, in bf16: the same networks in the
same form, then MobileNetV2 with the large denoiser and with the student, all on 224 pixels of a photograph.
Weights are random, which changes no time. Each round runs every form once; rates and ratios are medians over
the rounds. The student gets more images, as a few would be over before both workers are busy.
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
from assay.bench.published import lnp as published_lnp
from assay.engine.bundle import Bundle
from assay.engine.detectors.lnp.detector import Parameters
from assay.engine.doors.files import find_files
from assay.engine.report.markdown import table
from assay.trainers.kinds.lnp.bundle import export, manifest_template
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Form, Pattern, Student
from assay.trainers.kinds.lnp.network import LNP
from assay.trainers.kinds.lnp.run import SCALINGS

STAGES = ("decode", "view", "denoise", "spectra", "classify")
SIZE, MORE = 224, 12
"""Side of what is looked at; how many times as many images the student gets."""
LARGE, STUDENT = "MobileNetV2 and large denoiser", "MobileNetV2 and student"


def main(
    images: Annotated[Path, typer.Argument(help="Folder of photographs.")] = Path("bench/demo/images"),
    count: Annotated[int, typer.Option(help="Images a run.")] = 8,
    pairs: Annotated[int, typer.Option(help="Rounds.")] = 3,
) -> None:
    """Print two tables in Markdown."""
    found = list(find_files([images]))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        runs = versus.rounds(_forms(Path(folder), found, count), pairs)
    print(f"LNP, {count} photographs from {images.name} ({count * MORE} for the student), {pairs} rounds,")
    print(f"{SIZE} pixels. Random weights.\n")
    print(provenance("assay", "torch", "openvino", "pillow", "simplejpeg", "numpy", "scipy"), end="\n\n")
    _rates(runs)
    print("\nWhat the student costs in accuracy is not known: CycleISP's published weights are not at hand,")
    print("and no classifier was trained on its patterns. The student's PSNR stands on its bundle's card.")
    print(
        f"\nMilliseconds an image in each stage; torch used {torch.get_num_threads()} threads, a worker 1.\n"
    )
    print(versus.stage_table(runs, STAGES))


def _rates(runs: versus.Runs) -> None:
    """Prints the rate of each form, and how many times those of the procedure and the large denoiser."""
    rows = [["", "images/s", "times the procedure", "times the large denoiser"]]
    for name, each in runs.items():
        large = name.replace(STUDENT, LARGE)
        times = (
            versus.ratio(runs[versus.PEER], each),
            "" if large == name else versus.ratio(runs[large], each),
        )
        rows.append([name, versus.rate(each), *times])
    print(table(rows))


def _forms(folder: Path, found: Sequence[Path], count: int) -> versus.Forms:
    large, student = Denoiser().eval(), Student().eval()
    published, light = LNP("resnet50", attended="none").eval(), LNP().eval()
    few, many = ([found[number % len(found)] for number in range(total)] for total in (count, count * MORE))
    score = partial(published_lnp.score, large, published, SIZE)
    forms = [(versus.PEER, partial(versus.by_procedure, score, few))]
    for name, denoiser, classifier, files in (
        ("the same networks", large, published, few),
        (LARGE, large, light, few),
        (STUDENT, student, light, many),
    ):
        bundle = _bundle(folder / name, denoiser, classifier, classifier is published)
        for precision in versus.precisions(bundle):
            run = partial(versus.by_engine, bundle, precision, STAGES, files)
            forms.append((f"engine, {name}, {precision}", run))
    return forms


def _bundle(folder: Path, denoiser: Denoiser | Student, classifier: LNP, published: bool) -> Bundle:
    form: Form = "published" if published else "raw"
    parameters = SCALINGS["published"] if published else Parameters()
    named = {"name": "bench", "version": "0", "licence": "none"}
    manifest = manifest_template(SIZE, parameters).model_copy(update=named)
    return export(Pattern(denoiser, form).eval(), classifier, folder, manifest)


if __name__ == "__main__":
    typer.run(main)
