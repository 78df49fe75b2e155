"""An epoch or two of each kind of detector on a device: that it trains there at all, and at what rate.

    python -m assay.bench.gpu_train [--device auto]

Networks of the size that the papers train, with random weights, on made images: what they learn is nothing.
The first epoch warms up, and of the second the rate is told. Run by `make gpu`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
from rich.console import Console

from assay.engine.errors import AssayError
from assay.engine.load.images import made
from assay.trainers.cli.options import Device
from assay.trainers.fit import checkpoint
from assay.trainers.fit.run import LOG
from assay.trainers.kinds import KINDS
from assay.trainers.kinds.lnp.denoiser.network import Student

EPOCHS = 2


@dataclass(frozen=True)
class Trial:
    """Fields of a kind's run, and a batch, which is its epoch: one step."""

    batch: int
    fields: Mapping[str, Any]


FULL: Mapping[str, Trial] = {
    "plain": Trial(64, {"backbone": "resnet50"}),
    "fusing": Trial(64, {"backbone": "resnet50"}),
    "apn": Trial(32, {"spatial": "swin_t", "frequency": "resnet18"}),
    "lnp": Trial(64, {"classifier": "mobilenet_v2"}),
}
HEAD = "| kind | batch | loss | images/s, reading them included |\n|---|--:|--:|--:|"


def images(folder: Path, batch: int) -> Path:
    """A data set of a batch to train on and two to validate, in `folder`; half of it passes as synthetic."""
    files = made(min(batch, 8))
    for split, count in (("train", batch), ("val", 2)):
        for number in range(count):
            place = folder / split / "made" / ("1_fake" if number % 2 else "0_real") / f"{number}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[number % len(files)])
    return folder


def train(kind: str, trial: Trial, folder: Path, device: str) -> str:
    """Trains in an empty `folder` -> a row of the table.

    Raises:
        AssayError: the device is not there, or a loss is no number.
    """
    data = images(folder / "data", trial.batch)
    files: dict[str, Path] = {}
    if kind == "lnp":
        files["denoiser"] = folder / "denoiser.pt"
        checkpoint.save({"model": Student().state_dict()}, files["denoiser"])
    known = KINDS[kind]
    run = known.run.model_validate(
        {"kind": kind, "data": data, "batch": trial.batch, "fit": {"epochs": EPOCHS}, **trial.fields}
    )
    fit = known.load().make_fit(run, folder, *known.files(**files).arguments(), 0, device)
    fit.run(Console(quiet=True))
    names, *_, last = (line.split(",") for line in (folder / LOG).read_text("utf-8").splitlines())
    figures = dict(zip(names, last, strict=True))
    loss = float(figures["train_loss"])
    if not math.isfinite(loss):
        raise AssayError(f"{kind} on {fit.rank.device}: the loss is {loss}")
    return f"| {kind} | {trial.batch} | {loss:.4f} | {float(figures['images_per_second']):.1f} |"


def main(device: Device = "auto") -> None:
    """Train each kind and print a row as it ends; code 1 where one did not."""
    print(HEAD, flush=True)
    failed = False
    for kind, trial in FULL.items():
        with TemporaryDirectory() as folder:
            try:
                print(train(kind, trial, Path(folder), device), flush=True)
            except (
                AssayError,
                RuntimeError,
            ) as error:  # torch's; others may train
                failed = True
                print(f"| {kind} | {trial.batch} | {' '.join(str(error).split())[:200]} | |", flush=True)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    typer.run(main)
