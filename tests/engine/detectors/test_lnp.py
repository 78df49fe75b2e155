"""The chain of the noise-pattern detector, on graphs whose answers can be worked out by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fusing import SIZES, resized
from support.images import encode
from support.lnp import SIDE, mean_bundle, spectra_oracle
from support.manifests import check_refused

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.detectors import KINDS, Stopwatch, detector_of, intermediate_bytes, make_graphs
from assay.engine.detectors.lnp.detector import Parameters, spectra
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.kernels import view

PAPER = Parameters(norm="forward", amplitude="linear", centred=False)
PUBLISHED = Parameters(amplitude="power", grey=(0.11, 0.59, 0.30))
COLOURS = Parameters(grey=None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(mean_bundle(tmp_path_factory.mktemp("lnp")))


@pytest.mark.parametrize("parameters", [Parameters(), PAPER, PUBLISHED, COLOURS])
@pytest.mark.parametrize("side", [SIDE, 17, 4])
def test_spectra_are_those_of_whole_transforms(parameters: Parameters, side: int) -> None:
    random = np.random.default_rng(side)
    pattern = random.normal(0, 0.01, (3, 3, side, side)).astype(np.float32)
    found = spectra(pattern, parameters)
    modulus, angle, sure = spectra_oracle(pattern, parameters)
    assert found.shape == (3, parameters.planes, side, side)
    assert found.dtype == np.float32
    half = parameters.planes // 2
    scale = np.abs(modulus).max()
    np.testing.assert_allclose(found[:, :half] / scale, modulus / scale, atol=3e-6)
    assert sure.mean() > 0.2
    np.testing.assert_allclose(found[:, half:][sure], angle[sure], atol=2e-3)


@pytest.mark.parametrize("parameters", [Parameters(), PAPER, PUBLISHED])
def test_a_flat_pattern_has_finite_spectra(parameters: Parameters) -> None:
    flat = np.zeros((1, 3, 8, 8), np.float32)
    assert np.isfinite(spectra(flat, parameters)).all()


def test_each_image_gets_the_logit_of_its_own_view(bundle: Bundle) -> None:
    graphs = make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)
    images = [resized(*size, seed) for seed, size in enumerate(SIZES)]
    watch = Stopwatch()
    found = KINDS["lnp"].detector(bundle.manifest)(images, graphs, watch)
    assert list(watch.seconds) == ["view", "denoise", "spectra", "classify"]
    for image, detection in zip(images, found, strict=True):
        pattern = view([image], bundle.manifest.view) - np.float32(0.5)
        modulus, _, _ = spectra_oracle(pattern, Parameters())
        assert detection.logit == pytest.approx(float(pattern[0, 0].mean() + modulus.mean()), abs=1e-4)
        rms = np.sqrt((pattern[0].astype(np.float64) ** 2).mean(axis=(1, 2)))
        assert detection.evidence["pattern_rms"] == pytest.approx(rms.tolist(), abs=1e-5)
    assert len({round(detection.logit, 3) for detection in found}) == len(images)


def test_crops_are_averaged(bundle: Bundle, tmp_path: Path) -> None:
    corners = [[0.0, 0.0], [1.0, 1.0], [0.25, 0.75]]
    rule = json.loads((bundle.path / "manifest.json").read_text())["view"]
    several = Bundle.load(mean_bundle(tmp_path, view={**rule, "crop": corners}))
    detector_of(several)
    graphs = make_graphs(several, lambda name: "fp32", OpenVinoGraph)
    images = [resized(*size, seed) for seed, size in enumerate(SIZES)]
    found = KINDS["lnp"].detector(several.manifest)(images, graphs, Stopwatch())
    for image, detection in zip(images, found, strict=True):
        alone = []
        for corner in corners:
            one = bundle.manifest.model_copy(
                update={"view": replace(several.manifest.view, crop=(tuple(corner),))}
            )
            [part] = KINDS["lnp"].detector(one)([image], graphs, Stopwatch())
            alone.append(part)
        logits = [part.logit for part in alone]
        assert detection.logit == pytest.approx(np.mean(logits), abs=1e-5)
        assert detection.evidence["crop_logits"] == pytest.approx(logits, abs=1e-4)
        rms = np.array([part.evidence["pattern_rms"] for part in alone])
        assert detection.evidence["pattern_rms"] == pytest.approx(np.sqrt((rms**2).mean(axis=0)), abs=1e-5)
    assert intermediate_bytes(several) == 3 * intermediate_bytes(bundle)


def test_the_engine_serves_it(bundle: Bundle) -> None:
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    try:
        [future] = core.submit([Item("photo", encode(resized(90, 120), "PNG"))], wait=True)
        outcome = future.result()
    finally:
        core.stop()
    assert isinstance(outcome, Verdict)
    assert set(outcome.seconds) >= {"view", "denoise", "spectra", "classify"}
    json.dumps(outcome.to_dict())


def test_memory_counts_view_pattern_and_spectra(bundle: Bundle) -> None:
    assert intermediate_bytes(bundle) >= (3 + 3 + 3 + 2) * SIDE * SIDE * 4


def change_mean(manifest: dict[str, Any]) -> None:
    manifest["view"]["mean"] = [0.485, 0.456, 0.406]


def change_channels(manifest: dict[str, Any]) -> None:
    manifest["view"]["channels"] = "bgr"


def change_grey(manifest: dict[str, Any]) -> None:
    manifest["parameters"] = {"grey": None}


def change_amplitude(manifest: dict[str, Any]) -> None:
    manifest["parameters"] = {"amplitude": "decibel"}


def change_order(manifest: dict[str, Any]) -> None:
    inputs = manifest["graphs"]["classify"]["inputs"]
    manifest["graphs"]["classify"]["inputs"] = dict(reversed(inputs.items()))


def change_graphs(manifest: dict[str, Any]) -> None:
    del manifest["graphs"]["denoise"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_mean, "mean 0 and std 1"),
        (change_channels, "must be rgb"),
        (change_grey, r"inputs of 'classify'.*'spectra': \(6, 32, 32\)"),
        (change_amplitude, r"parameters\.amplitude"),
        (change_order, "inputs of 'classify'"),
        (change_graphs, "needs graph denoise"),
    ],
)
def test_a_bundle_whose_pattern_would_be_wrong_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    check_refused(mean_bundle(tmp_path), change, named)
