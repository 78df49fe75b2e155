"""`assay train fusing` on a tiny tree in CNNDetection's layout: train, resume, several processes, export."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command import assay
from support.photos import write_tree
from support.torchrun import torchrun
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.kernels import view
from assay.trainers.data.augment import Blur, recipe
from assay.trainers.data.dataset import loader
from assay.trainers.data.samples import of_split, read_samples
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.fit.loop import EVENTS
from assay.trainers.kinds.fusing.bundle import manifest_template
from assay.trainers.kinds.fusing.fit import validator
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.fusing.originals import collate, original_and_view
from assay.trainers.kinds.fusing.run import FusingRun

SMALL = "--backbone resnet18 --batch 4 --workers 0 --lr 0.001"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 classes merged to two, some of them in sub-folders, images of two sizes, one file broken."""
    root = tmp_path_factory.mktemp("cnn_detection")
    write_tree(
        root, {"train/car/0_real": 3, "train/car/1_fake": 4, "val/car/0_real": 2, "val/car/1_fake": 2}, 60
    )
    write_tree(root, {"train/bird/0_real": 1, "val/bird/1_fake": 1}, 90)
    (root / "train/car/0_real/broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assay("train", "fusing", "--data", data, "--out", folder, "--epochs", 2, *SMALL.split())
    return folder


def test_a_run_leaves_settings_logs_and_weights(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["kind"] == "fusing"
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    events = EventAccumulator(str(run / EVENTS))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2]
    assert [event.value for event in events.Scalars("val_loss")] == pytest.approx(
        [float(row["val_loss"]) for row in rows], rel=1e-5
    )
    assert (run / "unreadable.txt").read_text().strip().endswith("broken.png")
    Fusing("resnet18").load_published(run / "best.pt")


@pytest.mark.full
def test_a_resumed_run_ends_the_same(run: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    assay("train", "fusing", "--data", data, "--out", folder, "--epochs", 1, *SMALL.split())
    record = FusingRun.read(folder)
    longer = record.model_copy(update={"fit": FusingRun.read(run).fit})
    longer.write(folder)
    assay("train", "fusing", "--data", data, "--out", folder, "--resume")
    for name, value in load_state(run / "last.pt").items():
        assert torch.equal(value, load_state(folder / "last.pt")[name]), name


def test_a_run_becomes_a_bundle_that_scores_images(run: Path, tmp_path: Path, data: Path) -> None:
    assay("export", run, tmp_path / "bundle", "--name", "tiny", "--min-side", 16)
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.kind == "fusing"
    assert "data" not in bundle.manifest.trained_on
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        outcome = engine.score((data / "val/car/0_real/0.png").read_bytes())
    assert isinstance(outcome, Verdict)
    assert len(outcome.evidence["patches"]) == 6


def test_batches_hold_originals_and_the_views_of_just_those_pixels(data: Path) -> None:
    samples = of_split(read_samples(data), "train")
    rule = manifest_template().view
    prepare = original_and_view(recipe("cnn_aug", 224), rule)
    seen = set()
    batches = [
        batch
        for epoch in range(3)
        for batch in loader(samples, prepare, batch=4, seed=3, epoch=epoch, workers=0, collate=collate)
    ]
    for batch in batches:
        assert len(batch.images) == len(batch.views) == len(batch.labels)
        for image, shown in zip(batch.images, batch.views, strict=True):
            assert image.dtype == torch.uint8
            seen.add(tuple(image.shape))
            assert np.array_equal(view([image.numpy()], rule)[0], shown.numpy())
    assert seen == {(60, 60, 3), (90, 90, 3)}


def test_parts_of_a_batch_that_cannot_be_even_are_refused(data: Path, tmp_path: Path) -> None:
    options = "--backbone resnet18 --batch 6 --accumulate 4 --workers 0"
    with pytest.raises(Exception, match="6 images cannot be shared out evenly"):
        assay("train", "fusing", "--data", data, "--out", tmp_path / "run", *options.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.full
@pytest.mark.timeout(280)
def test_two_processes_train_one_network(data: Path, tmp_path: Path) -> None:
    """By torchrun: each on its share of every batch, one log, one set of weights that the export reads."""
    folder = tmp_path / "run"
    program = "from assay.engine.commands.app import main; raise SystemExit(main())"
    arguments = ["train", "fusing", "--data", data, "--out", folder, "--epochs", 1, *SMALL.split()]
    torchrun(tmp_path, program, *arguments)
    with (folder / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 1
    Fusing("resnet18").load_published(folder / "last.pt")


def test_a_run_leaves_out_small_images(data: Path, tmp_path: Path) -> None:
    """Only one photograph of this tree is that large, and nothing synthetic."""
    options = f"--min-side 61 --epochs 1 {SMALL}"
    with pytest.raises(SetupError, match="one of them is missing"):
        assay("train", "fusing", "--data", data, "--out", tmp_path / "run", *options.split())


def test_validation_may_be_altered(data: Path) -> None:
    samples = of_split(read_samples(data), "val")
    network = Fusing("resnet18").eval()
    clean, altered = (validator(samples, steps)(network) for steps in ((), (Blur(1.0, (3.0, 3.0)),)))
    assert clean["val_loss"] == validator(samples)(network)["val_loss"] != altered["val_loss"]


def test_a_backbone_learns_by_its_share_of_the_rate(data: Path, tmp_path: Path) -> None:
    """With no share it stays as it was, statistics of its normalisation included; the rest learns."""
    before = Fusing("resnet18").state_dict()
    torch.save({name.removeprefix("resnet."): value for name, value in before.items() if "resnet." in name},
               tmp_path / "weights.pth")  # fmt: skip
    moved = {}
    for share in (0, 0.01):
        options = (
            f"--weights {tmp_path / 'weights.pth'} --hold-statistics --backbone-lr-scale {share} --epochs 1"
        )
        folder = tmp_path / f"run{share}"
        assay("train", "fusing", "--data", data, "--out", folder, *options.split(), *SMALL.split())
        after = load_state(folder / "last.pt")
        change = {name: (after[name] - value).abs().max().item() for name, value in before.items()}
        moved[share] = max(value for name, value in change.items() if name.startswith("resnet."))
        assert not any(value for name, value in change.items() if "running" in name)
        assert max(value for name, value in change.items() if name.startswith("fc1")) > 1e-3
    assert moved[0] == 0
    # Adam's first steps are as long as the rate: 0.001, and a hundredth of it
    assert 0 < moved[0.01] < 1e-4


def test_an_ablation_trains_and_is_not_served(data: Path, tmp_path: Path) -> None:
    options = ["--patches", "random", "--epochs", 1, *SMALL.split()]
    assay("train", "fusing", "--data", data, "--out", tmp_path / "run", *options)
    assert FusingRun.read(tmp_path / "run").patches == "random"
    with pytest.raises(SetupError, match="ablation"):
        assay("export", tmp_path / "run", tmp_path / "bundle", "--name", "ablation")
