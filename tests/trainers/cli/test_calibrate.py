"""`assay calibrate` on a bundle whose logits are the brightness of images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.bundles import plain_bundle
from support.command import exit_code

from assay.engine.bundle import Bundle, File, sha256_of
from assay.engine.detectors import Graph, detector_of, make_graphs
from assay.engine.detectors.detector import tapped
from assay.engine.engine import Engine
from assay.engine.executors.torch_onnx import TorchOnnxGraph
from assay.engine.outcome import Doubt, Label, Verdict
from assay.engine.settings import Settings
from assay.trainers.evaluate.means import Means, Ready
from assay.trainers.export import bundle as exporting
from assay.trainers.export.parity import LIMITS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources and two generators; synthetic images are mostly brighter."""
    root = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(0)
    for group in ("a", "b"):
        for label in ("0_real", "1_fake"):
            target = root / "data/val" / group / label
            target.mkdir(parents=True)
            for number, shade in enumerate(rng.normal(150 if label == "1_fake" else 110, 25, 12)):
                pixels = np.full((16, 16, 3), np.clip(shade, 0, 255), np.uint8)
                Image.fromarray(pixels).save(target / f"{number}.png")
    return root


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_the_engine_serves_what_was_fitted(
    folder: Path, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    before = Bundle.load(plain_bundle(folder / "bundle")).manifest.calibration
    assert exit_code("calibrate", folder / "bundle", "--data", folder / "data", "--method", method) == 0
    shown = " ".join(capfd.readouterr().err.split())
    assert shown.startswith(f"{method}: ")
    assert "cross-entropy on held-out sources: temperature 0." in shown
    assert "before, 0." in shown
    bundle = Bundle.load(folder / "bundle")
    calibration = bundle.manifest.calibration
    assert calibration.method == method
    assert calibration != before
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        for path in sorted((folder / "data/val/a/1_fake").iterdir())[:3]:
            verdict = engine.score(path.read_bytes())
            assert isinstance(verdict, Verdict)
            assert verdict.probability == pytest.approx(calibration.probability(verdict.scores["plain"]))
            assert verdict.label is bundle.manifest.thresholds.label(verdict.probability)


def test_fp16_is_offered_by_an_emulation_until_a_gpu_has_measured_it(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of the GPU, fp16 as torch computes it on the CPU."""
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    given = (plain_bundle(folder / "bundle"), "--data", folder / "data")
    assert exit_code("calibrate", *given) == 0
    assert "fp16: largest difference 0.0" in (said := capfd.readouterr().err)
    assert "emulated, offered" in said
    spec = Bundle.load(folder / "bundle").manifest.graphs["classify"]
    assert "fp16" in spec.emulated
    assert 0 <= spec.precisions["fp16"] <= LIMITS["fp16"]

    def on_gpu(bundle: Bundle, means: Means) -> Ready:
        asked.append((means.device, means.precision))
        graphs = make_graphs(bundle, lambda name: means.precision, TorchOnnxGraph)
        return Ready(graphs, detector_of(bundle), means.precision)

    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(exporting, "device_of", lambda asked: torch.device("cuda", 0))
    monkeypatch.setattr(exporting, "ready", on_gpu)
    assert exit_code("calibrate", *given, "--device", "cuda:0") == 0
    assert "emulated" not in capfd.readouterr().err
    measured = Bundle.load(folder / "bundle").manifest.graphs["classify"]
    assert asked == [("cuda:0", "fp16"), ("cuda:0", "bf16")]
    assert "fp16" in measured.precisions
    assert measured.emulated == ()


def test_precisions_are_measured_of_a_bundle_that_keeps_its_calibration(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    given = (plain_bundle(folder / "bundle"), "--data", folder / "data")
    before = Bundle.load(folder / "bundle").manifest
    spec = before.graphs["classify"]
    assert "fp16" not in spec.precisions
    int8 = folder / "bundle/classify.int8.onnx"
    int8.write_bytes((folder / "bundle" / spec.file).read_bytes())
    named = File(file=int8.name, sha256=sha256_of(int8))
    spec = spec.model_copy(update={"int8": named, "precisions": {"fp32": 0.0, "int8": 0.04}})
    before = before.model_copy(update={"graphs": {"classify": spec}})
    exporting.write_manifest(before, folder / "bundle")
    assert exit_code("calibrate", *given, "--keep") == 0
    assert "left as they are" in capfd.readouterr().err
    after = Bundle.load(folder / "bundle").manifest
    assert after.calibration == before.calibration
    assert after.thresholds == before.thresholds
    assert "fp16" in after.graphs["classify"].precisions
    assert after.graphs["classify"].precisions["int8"] == 0.04
    assert after.graphs["classify"].int8 == named
    assert exit_code("calibrate", *given) == 0
    assert Bundle.load(folder / "bundle").manifest.calibration != before.calibration


@pytest.mark.parametrize("more", [("--method", "isotonic"), ("--doubts", 0.1)])
def test_to_keep_and_to_fit_is_a_contradiction(
    folder: Path, more: tuple[object, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("calibrate", folder / "bundle", "--data", folder / "data", "--keep", *more) == 2
    assert "--keep fits nothing" in capfd.readouterr().err


def test_a_bundle_with_adaptive_crops_is_measured_on_all_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs are dark on the left, synthetic images grey: the left alone would settle a photograph."""
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    same = {"size": 32, "resize": "none", "small": "wrap", "mean": [0.5] * 3, "std": [0.5] * 3}
    parameters = {"crops": "adaptive", "margin": 0, "more_views": [{"crop": [[0, 1]], **same}]}
    plain_bundle(folder / "bundle", view={"crop": [[0, 0]], **same}, parameters=parameters)
    for group in ("a", "b"):
        for label, left in (("0_real", 0), ("1_fake", 128)):
            (target := folder / "halves/val" / group / label).mkdir(parents=True)
            pixels = np.full((32, 64, 3), 140, np.uint8)
            pixels[:, :32] = left
            Image.fromarray(pixels).save(target / "one.png")
    views: list[int] = []

    def graphs_of(bundle: Bundle, *precision: str) -> dict[str, Graph]:
        graphs = made(bundle, *precision)
        return tapped(graphs, graphs, lambda name, inputs, outputs: views.append(len(inputs[0])))

    made = exporting.graphs_of
    monkeypatch.setattr(exporting, "graphs_of", graphs_of)
    assert exit_code("calibrate", folder / "bundle", "--data", folder / "halves") == 0
    assert set(views) == {8}, "two views of each of the four images, in one call"
    assert Bundle.load(folder / "bundle").manifest.parameters["crops"] == "adaptive"


def test_a_gpu_that_is_not_there_is_said_before_anything_is_written(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    plain_bundle(folder / "bundle")
    before = (folder / "bundle/manifest.json").read_text()
    options = ("--data", folder / "data", "--device", "cuda:63")
    assert exit_code("calibrate", folder / "bundle", *options) == 2
    assert "--device cuda:63" in capfd.readouterr().err
    assert (folder / "bundle/manifest.json").read_text() == before


def test_an_unknown_method_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("calibrate", folder / "bundle", "--data", folder / "data", "--method", "platt") == 2
    assert "platt" in capfd.readouterr().err


def test_limits_are_fitted_where_a_share_is_given_and_the_engine_holds_images_against_them(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, path in enumerate(sorted((folder / "data/val").rglob("*.png"))):
        with Image.open(path) as image:
            rng = np.random.default_rng(number)
            noise = rng.integers(0, 30, (20 + number, 40, 3)).astype(np.uint8)
            Image.fromarray(np.asarray(image.resize((40, 20 + number))) // 2 + noise).save(path)
    asked = ("calibrate", folder / "limits", "--data", folder / "data")
    plain_bundle(folder / "limits", min_side=8)
    assert exit_code(*asked, "--doubts", 0.1) == 2
    assert "only those from 16 can be measured" in " ".join(capfd.readouterr().err.split())
    plain_bundle(folder / "limits", min_side=16)
    assert exit_code(*asked) == 0
    assert Bundle.load(folder / "limits").manifest.domain is None
    assert exit_code(*asked, "--doubts", 0.1) == 0
    assert "small 8.3%" in " ".join(capfd.readouterr().err.split())
    bundle = Bundle.load(folder / "limits")
    assert bundle.manifest.domain is not None
    assert exit_code(*asked) == 0
    assert Bundle.load(folder / "limits").manifest.domain == bundle.manifest.domain
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        outcomes = [engine.score(path.read_bytes()) for path in sorted((folder / "data/val").rglob("*.png"))]
    doubted = [
        outcome for outcome in outcomes if isinstance(outcome, Verdict) and Doubt.SMALL in outcome.doubts
    ]
    assert len(doubted) == 4  # of 48 images, a tenth at most, each source weighing the same
    assert {verdict.label for verdict in doubted} == {Label.UNCERTAIN}
