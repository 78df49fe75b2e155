"""Training, evaluation and studies on a device that is not the host, whose tensors refuse to be mixed; what a
command says of a device that is not there; the torch forms of kernels against the kernels.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.apn_networks import tiny_trunks
from support.command import assay
from support.far import FAR, Far, FarTensor, far_device
from support.fusing import brightness_bundle
from support.photos import write_tree
from support.tables import read_csv
from torch import Tensor

from assay import kernels
from assay.engine.bundle import Bundle
from assay.engine.detectors.lnp.detector import spectra
from assay.engine.errors import BundleError, SetupError
from assay.trainers import dlpack as bridge
from assay.trainers import torch_forms
from assay.trainers.data.samples import of_split, read_samples
from assay.trainers.evaluate.means import Means, ready
from assay.trainers.fit import checkpoint
from assay.trainers.fit.device import device_of
from assay.trainers.fit.distributed import Distributed
from assay.trainers.kinds.lnp.denoiser.network import Student
from assay.trainers.kinds.lnp.run import SCALINGS
from assay.trainers.study.method import method_of

LIGHT = ("--batch", 4, "--epochs", 1, "--workers", 0)
OPTIONS: dict[str, str] = {
    "plain": "--backbone patch_forensics --size 32 --ema-decay 0.5",
    "baseline": "dct_cnn --size 32",
    "baseline spec": "spec --size 32",
    "baseline f3net": "f3net --size 32",
    "baseline gramnet": "gramnet --size 32",
    "baseline sia": "sia --size 32",
    "baseline swin_t": "swin_t --size 32",
    "fusing": "--backbone resnet18 --crop 32",
    "fusing random": "--backbone resnet18 --crop 32 --patches random",
    "fusing resized": "--backbone resnet18 --crop 32 --patches resized",
    "apn": "--proposals 2 --spatial resnet18 --frequency resnet18 --size 32",
    "apn soft": "--proposals 2 --spatial resnet18 --frequency resnet18 --size 32 --masks soft",
    "apn spectra": "--proposals 2 --spatial resnet18 --frequency resnet18 --size 32 --form spectra",
    "lnp": "--size 32",
    "denoiser": "--crop 32 --crops 2",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folders = [f"{split}/gan/{label}" for split in ("train", "val", "test") for label in ("0_real", "1_fake")]
    return write_tree(tmp_path_factory.mktemp("data"), dict.fromkeys(folders, 2), side=64)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("denoiser") / "student.pt"
    checkpoint.save({"model": Student().state_dict()}, file)
    return file


@pytest.fixture
def far() -> Iterator[Far]:
    with tiny_trunks(), far_device() as mode:
        yield mode


def test_the_device_refuses_the_hosts_tensors(far: Far) -> None:
    there = torch.ones(3).to(FAR)
    assert isinstance(there, FarTensor)
    with pytest.raises(AssertionError, match="beside those of the device"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match="copy it to the host first"):
        there.numpy()
    assert torch.equal((there + 1).cpu(), torch.full((3,), 2.0))


def forms() -> list[Any]:
    """The kinds; with their variants where there is time."""
    return [pytest.param(form, marks=[pytest.mark.full] * (" " in form)) for form in OPTIONS]


@pytest.mark.parametrize("form", forms())
def test_a_kind_trains_and_is_judged_there(
    form: str, far: Far, data: Path, denoiser: Path, tmp_path: Path
) -> None:
    kind = form.partition(" ")[0]
    options = ["--data", data, "--out", tmp_path / "run", *OPTIONS[form].split(), *LIGHT]
    options += ["--denoiser", denoiser] * (kind == "lnp")
    assay("train", kind, *options)
    assert far.computed > 100
    kept = checkpoint.load_state(tmp_path / "run/last.pt")
    assert not any(isinstance(value, FarTensor) for value in kept.values())
    if kind == "denoiser":
        return
    before = far.computed
    found = method_of(f"it={tmp_path / 'run'}").score(of_split(read_samples(data), "test"), None)
    assert np.isfinite(found.logits).all()
    assert far.computed > before


@pytest.mark.parametrize("kind", ["plain", "apn"])
def test_a_run_is_resumed_there(kind: str, far: Far, data: Path, tmp_path: Path) -> None:
    given = ("train", kind, "--data", data, "--out", tmp_path / "run", "--workers", 0)
    assay(*given, *OPTIONS[kind].split(), "--batch", 4, "--epochs", 1)
    assay(*given, "--resume", "--epochs", 2)
    assert [row["epoch"] for row in read_csv(tmp_path / "run/log.csv")] == ["1", "2"]


def test_the_device_changes_no_score(data: Path, denoiser: Path, tmp_path: Path) -> None:
    samples = of_split(read_samples(data), "test")
    with tiny_trunks():
        for kind in ("apn", "lnp"):
            options = ["--data", data, "--out", tmp_path / kind, *OPTIONS[kind].split(), *LIGHT]
            assay("train", kind, *options, *(["--denoiser", denoiser] if kind == "lnp" else []))
            host = method_of(f"it={tmp_path / kind}", Means("cpu")).score(samples, None)
            with far_device():
                there = method_of(f"it={tmp_path / kind}").score(samples, None)
            assert there.logits == pytest.approx(host.logits, abs=1e-4)


def test_studies_of_runs_run_there(far: Far, data: Path, denoiser: Path, tmp_path: Path) -> None:
    out = ["--data", data, "--out", tmp_path / "out"]
    apn, lnp = tmp_path / "apn", tmp_path / "lnp"
    assay("train", "apn", "--data", data, "--out", apn, *OPTIONS["apn"].split(), *LIGHT)
    assay("train", "lnp", "--data", data, "--out", lnp, "--size", 32, *LIGHT, "--denoiser", denoiser)
    before = far.computed
    for command in (
        ["generators", f"it={apn}"],
        ["cross-generator", f"it={apn}", "--split", "test"],
        ["ablations", apn, "--of", "masks", "--split", "test", "--workers", 0],
        ["faces", lnp],
    ):
        assay("study", *command, *out)
        assert far.computed > before, command
        before = far.computed


def test_pictures_are_drawn_there(data: Path, tmp_path: Path) -> None:
    options = "--proposals 2 --spatial mobilenet_v2 --frequency mobilenet_v2 --size 32"
    files = sorted((data / "test").rglob("*.png"))[:1]
    with far_device() as far:
        assay("train", "apn", "--data", data, "--out", tmp_path / "run", *options.split(), *LIGHT)
        before = far.computed
        assay("study", "purified", tmp_path / "run", *files, "--out", tmp_path / "out")
        assert far.computed > before
    with Image.open(tmp_path / "out/purified.png") as page:
        assert page.size == (4 * 160, 160 + 16 + 4)  # a line of words below


def test_a_device_that_is_not_there_is_said_in_words(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto").type == "cpu"
    with pytest.raises(SetupError, match=r"--device cuda: torch finds no GPU: .* with --device cpu it runs"):
        assay("train", "plain", "--data", data, "--out", data / "no", "--device", "cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    for command in (
        ["evaluate", "plain-mobilenet", "--data", data],
        ["study", "generators", "a=plain-mobilenet", "--data", data, "--out", data / "no"],
        ["study", "proposals", "apn-mobilenet", "--data", data, "--split", "test", "--out", data / "no"],
    ):
        with pytest.raises(SetupError, match="was built without CUDA"):
            assay(*command, "--device", "cuda:1")
    with pytest.raises(SetupError, match="--device is auto, cpu, cuda or cuda:N, not 'gpu'"):
        device_of("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("auto", 1) == device_of("cuda:1") == torch.device("cuda", 1)
    assert device_of("cuda") == torch.device("cuda", 0)
    with pytest.raises(SetupError, match="there is no GPU 2; 2 are seen, counted from 0"):
        device_of("cuda:2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SetupError, match="is one GPU for 2 processes: name cuda, one each"):
        Distributed("cuda:1")


def test_a_bundle_on_a_gpu_asks_for_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.load(brightness_bundle(tmp_path / "bundle"))
    monkeypatch.setattr("assay.trainers.evaluate.means.device_of", lambda asked: torch.device("cuda", 0))
    monkeypatch.setattr("assay.trainers.evaluate.means.find_spec", lambda name: None)
    with pytest.raises(SetupError, match="a bundle on a GPU needs CuPy, which is not installed"):
        ready(bundle, Means("cuda"))
    assert ready(bundle, Means()).precision == "fp32"
    assert "is judged on the CPU: a bundle on a GPU needs CuPy" in capsys.readouterr().err
    assert ready(bundle, Means(executor="openvino")).precision == "fp32"
    assert not capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(SetupError, match="the executor 'tensorrt' needs a GPU"):
        ready(bundle, Means("cpu", "tensorrt"))


def test_evaluation_takes_the_executor_and_the_precision(data: Path, tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "bundle")
    out = tmp_path / "out"
    assay("evaluate", bundle, "--data", data, "--split", "test", "--precision", "bf16", "--out", out)
    assert json.loads((out / "report.json").read_text())["results"][0]["precision"] == "bf16"
    with pytest.raises(BundleError, match="the bundle has no torch program"):
        assay("evaluate", bundle, "--data", data, "--executor", "torch_export", "--device", "cpu")
    options = ("--data", data, "--out", out, "--executor", "torch_export", "--device", "cpu")
    with pytest.raises(BundleError, match="the bundle has no torch program"):
        assay("study", "generators", f"it={bundle}", *options)


def random(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random(shape, np.float32))


@pytest.mark.parametrize("side", [32, 33])
def test_spectra_in_torch_are_the_kernels(side: int) -> None:
    images = random(2, 3, side, side)
    half = bridge.call(kernels.spectrum, images)
    found = torch_forms.spectrum(images)
    assert torch.allclose(found, half, atol=1e-4)
    for kernel, form in ((kernels.amplitude, torch.abs), (kernels.phase, torch.angle)):
        assert torch.allclose(form(half), bridge.call(kernel, half), atol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("grey", [True, False])
def test_the_spectra_of_patterns_are_the_engines(scaling: Any, grey: bool) -> None:
    parameters = SCALINGS[scaling] if grey else SCALINGS[scaling].model_copy(update={"grey": None})
    patterns = random(2, 3, 32, 32) - 0.5
    wanted, found = bridge.call(spectra, patterns, parameters), torch_forms.spectra(patterns, parameters)
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("irrelevant", [False, True])
def test_purification_in_torch_is_the_kernels(irrelevant: bool) -> None:
    spectrum = bridge.call(kernels.spectrum, random(2, 3, 32, 32))
    bands = [random(2, 3, 4, 4) * 1.2 for _ in range(2)]
    wanted = bridge.call(kernels.purify, spectrum, *bands, (32, 32), irrelevant=irrelevant)
    found = torch_forms.purify(spectrum, *bands, (32, 32), irrelevant=irrelevant)
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("stored", [True, False])
def test_crops_in_torch_are_the_kernels(stored: bool) -> None:
    rng = np.random.default_rng(1)
    sizes = [(40, 60), (70, 50)]
    images: list[Tensor] = [
        torch.from_numpy(rng.integers(0, 256, (*size, 3), np.uint8)) if stored else random(3, *size)
        for size in sizes
    ]
    boxes = torch.tensor([[[0, 0, 32, 32], [3, 5, 20, 41]], [[1, 2, 70, 50], [38, 18, 70, 50]]]).int()
    normal = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    wanted = bridge.call(kernels.crop_resize, images, boxes, 32, **normal)
    assert torch.allclose(torch_forms.crop_resize(images, boxes, 32, **normal), wanted, atol=1e-5)
