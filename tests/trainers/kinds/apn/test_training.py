"""`assay train apn` on a tiny tree in GenImage's layout: alternation, rates, resuming, export."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.apn_networks import tiny_trunks
from support.command import assay
from support.photos import write_tree
from torch import Tensor

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.trainers.data.dataset import Batch
from assay.trainers.fit.checkpoint import load, load_state
from assay.trainers.fit.schedule import Staircase
from assay.trainers.kinds.apn.club import Club
from assay.trainers.kinds.apn.fit import AlternatingFit
from assay.trainers.kinds.apn.losses import OBJECTIVES, features, losses
from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.apn.run import ApnFit, ApnRun

SMALL = "--proposals 2 --spatial resnet18 --frequency resnet18 --size 32 --batch 4 --workers 0"


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with tiny_trunks():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GenImage's layout, in which `ai` sorts before `nature`; images smaller than a view; one file broken."""
    root = tmp_path_factory.mktemp("genimage") / "stable_diffusion_v_1_4"
    tree = root / "imagenet_ai_0419_sdv4"
    write_tree(tree, {"train/ai": 4, "train/nature": 4, "val/ai": 2}, side=40)
    write_tree(tree, {"val/nature": 2}, side=33)
    (tree / "train/nature/broken.JPEG").write_bytes(b"\xff\xd8\xff no JPEG")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assay("train", "apn", "--data", data, "--out", folder, "--epochs", 2, *SMALL.split())
    return folder


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints hold the same values."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_a_run_leaves_settings_logs_and_weights(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["objective"] == "paper"
    with (run / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert (run / "unreadable.txt").read_text().strip().endswith("broken.JPEG")
    state = load(run / "last.pt")
    first, basis = state["optimizer"]["param_groups"]
    assert (first["lr"], basis["lr"]) == (1e-4, pytest.approx(1e-7))
    steps = {int(entry["step"]) for entry in state["optimizer"]["state"].values()}
    club_steps = {int(entry["step"]) for entry in state["club"]["optimizer"]["state"].values()}
    assert steps == {state["train_state"]["step"]}
    assert club_steps == {3 * state["train_state"]["step"]}


def test_a_resumed_run_ends_the_same(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    assay("train", "apn", "--data", data, "--out", out, "--epochs", 1, *SMALL.split())
    record = ApnRun.read(out)
    longer = record.model_copy(update={"fit": ApnRun.read(run).fit})
    longer.write(out)
    assay("train", "apn", "--data", data, "--out", out, "--resume")
    whole, parts = load(run / "last.pt"), load(out / "last.pt")
    for key in ("network", "optimizer", "club", "rng", "train_state"):
        assert same(whole[key], parts[key]), key


@pytest.mark.full
def test_a_run_becomes_a_bundle(run: Path, tmp_path: Path) -> None:
    assay("export", run, tmp_path / "bundle", "--name", "tiny", "--checkpoint", "last", "--min-side", 32)
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert (manifest.kind, manifest.view.size, manifest.view.channels) == ("apn", 32, "bgr")
    assert manifest.view.small == "wrap"
    assert manifest.trained_on["proposals"] == 2
    with pytest.raises(SetupError, match="crops"):
        assay("export", run, tmp_path / "other", "--name", "tiny", "--crops", "five")


def test_classes_are_told_by_name(data: Path) -> None:
    from assay.trainers.data.samples import read_samples

    labels = {sample.path.parent.name: sample.label for sample in read_samples(data)}
    assert labels == {"ai": 1, "nature": 0}


def fit_on(images: Tensor, labels: Tensor, folder: Path, **settings: Any) -> AlternatingFit:
    torch.manual_seed(0)
    chosen = ApnFit(epochs=1, **settings)
    parts = chosen.accumulate
    split = [Batch(one, some) for one, some in zip(images.chunk(parts), labels.chunk(parts), strict=True)]
    return AlternatingFit(
        APN(2, "resnet18", "resnet18", size=32),
        Club(),
        OBJECTIVES["paper"],
        batches=lambda epoch: split,
        steps=parts,
        validate=lambda network: {"accuracy": 0.5},
        settings=chosen,
        folder=folder,
    )


def test_one_step_is_the_papers(tmp_path: Path) -> None:
    """The network steps once on all five losses, then the estimator thrice on the features it had."""
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0.0, 1.0, 0.0, 1.0])
    fit = fit_on(images, labels, tmp_path)
    other = fit_on(images, labels, tmp_path)
    torch.manual_seed(1)
    fit.run()

    network, club = other.network.train(), other.club
    torch.manual_seed(1)
    slow = [parameter for name, parameter in network.named_parameters() if "basis" in name]
    fast = [parameter for name, parameter in network.named_parameters() if "basis" not in name]
    optimizer = torch.optim.Adam([{"params": fast, "lr": 1e-4}, {"params": slow, "lr": 1e-7}])
    output = network(images)
    parts = losses(output, labels, network, club, OBJECTIVES["paper"])
    (parts.ce + parts.band + parts.basis + parts.align + parts.mi).backward()
    assert all(parameter.grad is None for parameter in club.parameters())
    optimizer.step()
    mutual = torch.optim.Adam(club.parameters(), 1e-4)
    irrelevant, relevant = (part.detach() for part in features(output))
    for _ in range(3):
        mutual.zero_grad()
        club.loss(irrelevant, relevant).backward()
        mutual.step()
    for name, value in network.state_dict().items():
        assert torch.allclose(fit.network.state_dict()[name], value, atol=1e-7), name
    for name, value in club.state_dict().items():
        assert torch.allclose(fit.club.state_dict()[name], value, atol=1e-7), name


def test_the_estimator_learns_from_all_parts_of_a_step(tmp_path: Path) -> None:
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0.0, 1.0, 0.0, 1.0])
    fit = fit_on(images, labels, tmp_path, accumulate=2)
    seen: list[int] = []
    club_loss = fit.club.loss
    fit.club.loss = lambda x, y: (seen.append(len(x)), club_loss(x, y))[1]  # type: ignore[method-assign]
    fit.run()
    assert seen == [4, 4, 4]
    assert fit.state.step == 1


def test_rates_fall_by_steps() -> None:
    stairs = Staircase(1e-4, 20_000)
    assert [stairs.at(step) for step in (0, 19_999, 20_000, 40_000)] == pytest.approx(
        [1e-4, 1e-4, 1e-5, 1e-6]
    )
    assert not any(stairs.step(False) for _ in range(100))


def test_a_batch_that_cannot_be_shared_out_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="shared out evenly"):
        assay("train", "apn", "--data", data, "--out", tmp_path, *SMALL.split(), "--accumulate", 3)
    with pytest.raises(SetupError, match="even"):
        assay("train", "apn", "--data", data, "--out", tmp_path, "--size", 33)


def test_best_weights_are_the_networks_alone(run: Path) -> None:
    state = load_state(run / "best.pt")
    assert not [name for name in state if name.startswith(("club", "p_mu"))]
    APN(2, "resnet18", "resnet18", size=32).load_state_dict(state)
    assert np.isfinite(float(state["classifier.6.bias"][0]))
