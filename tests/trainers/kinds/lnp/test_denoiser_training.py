"""`assay train denoiser` on a few photographs: pairs, PSNR, resuming, and that it learns to denoise."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.command import assay
from support.fusing import resized
from support.photos import write_tree
from torch import nn

from assay.engine.errors import SetupError
from assay.trainers.data.samples import of_split, read_samples
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.fit.distributed import Distributed
from assay.trainers.kinds.lnp.denoiser.fit import (
    PhotographSampler,
    best_gaussian,
    build,
    make_fit,
    noisy_pair,
    psnr,
    validator,
)
from assay.trainers.kinds.lnp.denoiser.network import Student
from assay.trainers.kinds.lnp.denoiser.run import DenoiserFit, DenoiserRun

SMALL = "--crop 32 --crops 2 --batch 4 --workers 0"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, a broken file, and synthetic images that must not be touched."""
    root = tmp_path_factory.mktemp("photographs")
    write_tree(root, {"train/0_real": 0, "train/1_fake": 2, "val/1_fake": 1}, 40)
    for split, count in (("train", 3), ("val", 2)):
        folder = root / split / "0_real"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(resized(70, 90, number)).save(folder / f"{number}.png")
    (root / "train/0_real/broken.png").write_bytes(b"no image")
    return root


def train(data: Path, out: Path, *options: str) -> None:
    assay("train", "denoiser", "--data", data, "--out", out, *SMALL.split(), *options)


def test_a_resumed_run_ends_like_one_that_was_not_stopped(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "whole", "--epochs", "2", "--schedule", "plateau")
    train(data, tmp_path / "parts", "--epochs", "1", "--schedule", "plateau")
    record = tmp_path / "parts/run.json"
    record.write_text(record.read_text().replace('"epochs": 1', '"epochs": 2'))
    train(data, tmp_path / "parts", "--resume")
    one, other = (load_state(tmp_path / part / "last.pt") for part in ("whole", "parts"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    Student().load_state_dict(one)
    with (tmp_path / "whole/log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert len({row["psnr"] for row in rows}) == 2
    for name in ("psnr_identity", "psnr_gaussian"):
        assert len({row[name] for row in rows}) == 1  # the same noise after every epoch
    assert (tmp_path / "whole/unreadable.txt").read_text().endswith("broken.png\n")
    with pytest.raises(SetupError, match="holds a run already"):
        train(data, tmp_path / "whole")


def test_pairs_are_a_crop_and_its_noise() -> None:
    pixels = resized(70, 90)
    given, clean = noisy_pair(32)(pixels, np.random.default_rng(4))
    assert given.shape == clean.shape == (3, 32, 32)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (32, 32), axis=(0, 1))
    levels = np.rint(clean * 255).astype(np.uint8)
    assert (windows == levels).all(axis=(2, 3, 4)).any()
    assert np.allclose(given * 255, np.rint(given * 255), atol=1e-4)
    assert 0.001 < np.std(given - clean) < 0.3
    again, _ = noisy_pair(32)(pixels, np.random.default_rng(4))
    assert np.array_equal(given, again)


def test_figures_are_those_of_the_definitions(data: Path) -> None:
    class Perfect(nn.Module):
        """Knows the photographs."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = nn.Parameter(torch.tensor(share))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * self.share

    samples = [sample for sample in of_split(read_samples(data), "val") if not sample.label]
    validate = validator(samples, 32)
    nothing = validate(Perfect(0.0))
    assert nothing["psnr"] == pytest.approx(nothing["psnr_identity"])
    assert nothing["psnr_gaussian"] > nothing["psnr_identity"]
    assert validate(Perfect(1.0))["psnr"] < 20 < nothing["psnr"]  # black images
    assert psnr(np.full((3, 4, 4), 0.6, np.float32), np.full((3, 4, 4), 0.5, np.float32)) == pytest.approx(20)
    flat = np.full((3, 16, 16), 0.5, np.float32)
    spoilt = flat + np.random.default_rng(0).normal(0, 0.1, flat.shape).astype(np.float32)
    assert best_gaussian(spoilt, flat) > psnr(spoilt, flat) + 8


def test_processes_share_an_epoch_out() -> None:
    ranks = [Distributed() for _ in range(3)]
    for number, rank in enumerate(ranks):
        rank.number, rank.world = number, 3
    draws = [draw for rank in ranks for draw in PhotographSampler(5, 6, 0, 1, rank)]
    assert len(draws) == 30
    assert len({draw.seed for draw in draws}) == 30
    assert sorted(draw.index for draw in draws) == sorted(list(range(5)) * 6)


def test_what_cannot_be_trained_is_said(data: Path, tmp_path: Path) -> None:
    run = DenoiserRun(data=data, batch=4, fit=DenoiserFit(epochs=1), crop=32, crops=1)
    with pytest.raises(SetupError, match="cycleisp"):
        make_fit(run, tmp_path, tmp_path / "sidd_rgb.pth", 0)
    with pytest.raises(SetupError, match="a batch of 1"):
        make_fit(run.model_copy(update={"batch": 1}), tmp_path, None, 0)
    assert sum(weight.numel() for weight in build("cycleisp", 1, 1).parameters()) > 100_000
