"""`assay calibrate` on a bundle whose logits are the brightness of images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.bundles import plain_bundle
from support.command import exit_code

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings


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


def test_an_unknown_method_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("calibrate", folder / "bundle", "--data", folder / "data", "--method", "platt") == 2
    assert "platt" in capfd.readouterr().err
