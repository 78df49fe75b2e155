"""The chain of the purification detector, on graphs whose answers can be worked out by hand."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.apn import ALL, NONE, PROPOSALS, SIDE, bands_bundle
from support.fusing import SIZES
from support.images import encode, photograph
from support.manifests import check_refused

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.detectors import Graph, Stopwatch, detector_of, intermediate_bytes, make_graphs
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.item import Item
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.settings import Settings


def load(folder: Path, **bands: Any) -> tuple[Bundle, dict[str, Graph]]:
    bundle = Bundle.load(bands_bundle(folder, **bands))
    return bundle, make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(bands_bundle(tmp_path_factory.mktemp("apn")))


@pytest.fixture(scope="module")
def graphs(bundle: Bundle) -> dict[str, Graph]:
    return make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)


@pytest.fixture(scope="module")
def core(bundle: Bundle) -> Iterator[Core]:
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    yield core
    core.stop()


def test_a_cross_that_holds_everything_gives_the_image_back(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    seen: dict[str, Any] = {}

    def spy(*arrays: Any) -> Any:
        seen["image"], seen["purified"] = arrays
        return graphs["classify"](*arrays)

    image = photograph(90, 120, seed=1)
    [found] = detector_of(bundle)([image], {**graphs, "classify": spy}, Stopwatch())
    centre = image[13 : 13 + SIDE, 28 : 28 + SIDE, ::-1].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(seen["image"][0], centre, atol=1e-6)
    np.testing.assert_allclose(seen["purified"][0, 0], centre, atol=1e-4)
    assert np.abs(seen["purified"][0, 1] - centre).max() > 0.05
    assert found.logit == pytest.approx(0, abs=1e-4)


def test_evidence_is_in_cycles_per_pixel_and_the_most_trusted_first(tmp_path: Path) -> None:
    bright, dark = (0.0, 0.5, 0.25, 0.75), (0.25, 0.9, 0.5, 0.9)  # without the constant term: dark
    bundle, graphs = load(tmp_path, amplitude=(dark, bright), phase=(ALL, NONE))
    [found] = detector_of(bundle)([photograph(64, 64, seed=2)], graphs, Stopwatch())
    first, second = found.evidence["bands"]
    assert found.evidence["channels"] == "bgr"
    assert first["confidence"] > second["confidence"]
    # Row 32 of 64 is 0.5; column floor(0.25 * 33) = 8 of 64 is 0.125; column floor(0.75 * 33) = 24 is 0.375.
    assert first["amplitude"] == [[0, 0.5, 0.125, 0.375]] * 3
    assert first["phase"] == [[0, 0, 0, 0]] * 3
    assert second["amplitude"] == [[0.25, 0.8906, 0.25, 0.4531]] * 3
    assert second["phase"] == [[0, 0.9844, 0, 0.5]] * 3
    assert len(found.chosen) == 2 * 3 * PROPOSALS * 4
    assert found.chosen[:4] == (16, 57, 16, 29)


def test_scores_of_a_batch_are_those_of_its_images(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    images = [photograph(height, width, seed) for seed, (height, width) in enumerate(SIZES)]
    together = detector_of(bundle)(images, graphs, Stopwatch())
    assert len(together) == len(images)
    for image, found in zip(images, together, strict=True):
        [alone] = detector_of(bundle)([image], graphs, Stopwatch())
        assert found.logit == pytest.approx(alone.logit, abs=1e-6)
        assert found.chosen == alone.chosen


def test_purified_images_run_in_one_batch(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def spy(name: str) -> Graph:
        def call(*arrays: Any) -> Any:
            assert name not in shapes
            shapes[name] = [array.shape for array in arrays]
            return graphs[name](*arrays)

        return call

    watch = Stopwatch()
    images = [photograph(80, 100, seed) for seed in range(3)]
    detector_of(bundle)(images, {name: spy(name) for name in graphs}, watch)
    assert shapes["propose"] == [(3, 3, SIDE, SIDE // 2 + 1)] * 2
    assert shapes["classify"] == [(3, 3, SIDE, SIDE), (3, PROPOSALS, 3, SIDE, SIDE)]
    assert list(watch.seconds) == ["view", "spectrum", "propose", "purify", "classify"]


def test_proposals_stay_in_fp32(bundle: Bundle) -> None:
    made: dict[str, str] = {}

    def executor(file: Path, spec: Any, precision: str) -> Graph:
        made[file.name] = precision
        return lambda *arrays: arrays

    make_graphs(bundle, lambda name: "bf16", executor)
    assert made == {"propose.onnx": "fp32", "classify.onnx": "bf16"}


def test_memory_counts_the_purified_images(bundle: Bundle) -> None:
    view = 3 * SIDE * SIDE * 4
    assert intermediate_bytes(bundle) >= (1 + PROPOSALS) * view + 4 * view


def change_crop(manifest: dict[str, Any]) -> None:
    manifest["view"]["crop"] = [[0, 0], [1, 1]]


def change_size(manifest: dict[str, Any]) -> None:
    manifest["view"]["size"] = 96


def change_count(manifest: dict[str, Any]) -> None:
    manifest["graphs"]["propose"]["outputs"]["phase_bands"][2] = 3


def change_free(manifest: dict[str, Any]) -> None:
    manifest["graphs"]["propose"]["outputs"]["amplitude_bands"][2] = "K"


def change_order(manifest: dict[str, Any]) -> None:
    inputs = manifest["graphs"]["classify"]["inputs"]
    manifest["graphs"]["classify"]["inputs"] = dict(reversed(inputs.items()))


def change_outputs(manifest: dict[str, Any]) -> None:
    del manifest["graphs"]["classify"]["outputs"]["confidence"]


def change_parameters(manifest: dict[str, Any]) -> None:
    manifest["parameters"] = {"proposals": 2}


def change_graphs(manifest: dict[str, Any]) -> None:
    del manifest["graphs"]["propose"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_crop, "one view"),
        (change_size, "inputs of 'propose'"),
        (change_count, "outputs of 'propose'"),
        (change_free, "amplitude_bands"),
        (change_order, "inputs of 'classify'"),
        (change_outputs, "outputs of 'classify'"),
        (change_parameters, r"parameters\.proposals"),
        (change_graphs, "needs graph propose"),
    ],
)
def test_a_bundle_that_does_not_fit_the_chain_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    check_refused(bands_bundle(tmp_path), change, named)


@pytest.mark.parametrize("size", [*SIZES, (8, 8), (8, 400), (7, 300), (1, 1)])
def test_every_size_gets_a_verdict_or_too_small(core: Core, size: tuple[int, int]) -> None:
    outcome = core.submit([Item("odd", encode(photograph(*size), "PNG"))], wait=True)[0].result()
    if min(size) < 8:
        assert isinstance(outcome, Rejection)
        assert outcome.reason is Reason.TOO_SMALL
    else:
        assert isinstance(outcome, Verdict)
        assert len(outcome.evidence["bands"]) == PROPOSALS
        json.dumps(outcome.to_dict())


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_image_gets_a_verdict(core: Core, value: int) -> None:
    flat = np.full((70, 70, 3), value, np.uint8)
    assert isinstance(core.submit([Item("flat", encode(flat, "PNG"))], wait=True)[0].result(), Verdict)
