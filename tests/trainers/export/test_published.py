"""Checkpoints in the published layouts become bundles and denoisers that give what the checkpoint gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.apn_published import Published
from support.command import assay
from support.cycleisp import random_weights
from support.fusing_networks import lively, published_layout
from support.photos import write_tree
from torchvision.models import resnet18

from assay.engine.bundle import Bundle, sha256_of
from assay.engine.errors import SetupError
from assay.trainers.data.samples import read_samples
from assay.trainers.evaluate.score import score
from assay.trainers.export.bundle import graphs_of
from assay.trainers.kinds.apn.fit import scored_by as scored_by_apn
from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.apn.published import published_name
from assay.trainers.kinds.fusing.fit import scored_by as scored_by_fusing
from assay.trainers.kinds.lnp.denoiser.run import DenoiserRun
from assay.trainers.kinds.lnp.source import load_denoiser


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("data"), {"real": 2, "fake": 2}, side=80)


def served(bundle: Bundle, data: Path) -> Any:
    return score(read_samples(data), bundle.manifest, graphs_of(bundle)).logits


def test_fusing(data: Path, tmp_path: Path) -> None:
    network = lively()
    state = network.state_dict()
    assert state.keys() == published_layout(resnet18(weights=None).state_dict(), 512).keys()
    file = tmp_path / "PSM.pth"
    kept = {f"module.{name}": value for name, value in state.items()}  # as trained on several GPUs
    torch.save({"model": kept, "total_steps": 7}, file)
    out = tmp_path / "bundle"
    said = assay("import", "fusing", file, "-o", out, "--licence", "CC-BY-NC-SA-4.0")
    assert f"next: assay calibrate {out}" in said.stderr.replace("\n", "")
    bundle = Bundle.load(out)
    assert (bundle.name, bundle.manifest.licence) == ("fusing-published", "CC-BY-NC-SA-4.0")
    assert bundle.manifest.trained_on == {"published_weights": "PSM.pth", "sha256": sha256_of(file)}
    wanted = scored_by_fusing(network, read_samples(data)).logits
    assert served(bundle, data) == pytest.approx(wanted, abs=1e-3)
    assert np.ptp(wanted) > 0
    with pytest.raises(SetupError, match=r"holds a manifest\.json already"):
        assay("import", "fusing", file, "-o", out)


def test_apn(data: Path, tmp_path: Path) -> None:
    """Of any number of proposals and any size, which follow from the tensors."""
    torch.manual_seed(0)
    file, network = tmp_path / "MainModel_epoch_9.pth", APN(2, "resnet18", "resnet18", size=64)
    state = {published_name(name, "resnet18"): value for name, value in network.state_dict().items()}
    torch.save({"model": state, "optimizer": {"lr": 1.0}}, file)
    assay("import", "apn", file, "-o", tmp_path / "bundle", "--name", "theirs", "--version", "2.0.0")
    bundle = Bundle.load(tmp_path / "bundle")
    assert (bundle.name, bundle.version, bundle.manifest.view.size) == ("theirs", "2.0.0", 64)
    wanted = scored_by_apn(network.eval(), read_samples(data)).logits
    assert served(bundle, data) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.full
def test_apn_as_its_authors_write_it(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "MainModel_epoch_9.pth"
    torch.save({"model": Published(3).state_dict()}, file)
    assay("import", "apn", file, "-o", tmp_path / "bundle")
    network = APN(3)
    network.load_published(file)
    wanted = scored_by_apn(network.eval(), read_samples(data)).logits
    assert served(Bundle.load(tmp_path / "bundle"), data) == pytest.approx(wanted, abs=1e-3)


def test_a_denoiser(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "sidd_rgb.pth"
    state = random_weights(2, 3)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, file)
    out = tmp_path / "denoiser"
    assay("import", "denoiser", file, "-o", out)
    run = DenoiserRun.read(out)
    assert (run.network, run.rrg, run.dab, run.weights) == ("cycleisp", 2, 3, "sidd_rgb.pth")
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(load_denoiser(out)(images), load_denoiser(file)(images))
    train = ("--data", data / "train", "--out", tmp_path / "lnp", "--denoiser", out, "--size", 32)
    for split in ("train", "val"):
        write_tree(data / "train", {f"{split}/real": 2, f"{split}/fake": 2})
    assay("train", "lnp", *train, "--epochs", 1, "--batch", 4, "--workers", 0)
    assert json.loads((tmp_path / "lnp/run.json").read_text())["kind"] == "lnp"


class Code:
    def __reduce__(self) -> Any:
        return (print, ("code in a file of weights has run",))


@pytest.mark.parametrize("kind", ["fusing", "apn", "denoiser"])
def test_other_files_are_refused_and_no_code_runs(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("code.pth", {"model": Code()}), ("other.pth", {"weight": torch.ones(2)})):
        torch.save(content, tmp_path / name)
        with pytest.raises(SetupError, match=name) as refused:
            assay("import", kind, tmp_path / name, "-o", tmp_path / "out")
        said = str(refused.value).replace(str(tmp_path), "")
        assert len(said) < 500, said
        assert "weights_only" not in said  # torch's advice: to read the file unsafely
        assert not (tmp_path / "out").exists()
    assert "has run" not in capsys.readouterr().out
    with pytest.raises(SetupError, match="does not exist"):
        assay("import", kind, tmp_path / "missing.pth", "-o", tmp_path / "out")
