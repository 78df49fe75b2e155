"""The chain of the fusing detector, on graphs whose answers can be worked out by hand."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fusing import PATCHES, SIZES, brightness_bundle
from support.images import encode, good, photograph
from support.manifests import check_refused

from assay.engine.bundle import Bundle, GraphSpec
from assay.engine.core import Core
from assay.engine.detectors import KINDS, Graph, Stopwatch, intermediate_bytes, make_graphs
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.item import Item
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.settings import Settings

Images = list[np.ndarray[Any, np.dtype[np.uint8]]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(brightness_bundle(tmp_path_factory.mktemp("fusing")))


@pytest.fixture(scope="module")
def graphs(bundle: Bundle) -> dict[str, Graph]:
    return make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)


@pytest.fixture(scope="module")
def core(bundle: Bundle) -> Iterator[Core]:
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    yield core
    core.stop()


def dark(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), 40, np.uint8)


def test_patches_lie_where_the_image_is_brightest(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    image = dark(700, 1000)
    image[400:500, 250:350] = 255  # columns 150 to 850 are what the view shows
    [found] = KINDS["fusing"].detector(bundle.manifest)([image], graphs, Stopwatch())
    for index, side in ((0, 224), (3, 112)):  # the first of each kind of window is the strongest
        top, left, bottom, right = found.evidence["patches"][index]["box"]
        assert (bottom - top, right - left) == (side, side)
        assert top <= 450 <= bottom
        assert left <= 300 <= right


def test_a_patch_of_another_image_is_never_taken(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    """Scores of a batch are those of its images alone, whatever their sizes."""
    random = np.random.default_rng(1)
    images = [
        random.integers(0, 256, (1, 1, 3), np.uint8) // 2 + photograph(height, width, seed) // 2
        for seed, (height, width) in enumerate(SIZES)
    ]
    detect = KINDS["fusing"].detector(bundle.manifest)
    together = detect(images, graphs, Stopwatch())
    for image, found in zip(images, together, strict=True):
        [alone] = detect([image], graphs, Stopwatch())
        assert found.chosen == alone.chosen
        assert found.evidence == alone.evidence
        assert found.logit == pytest.approx(alone.logit, abs=1e-6)
        height, width = image.shape[:2]
        for patch in found.evidence["patches"]:
            top, left, bottom, right = patch["box"]
            assert 0 <= top < bottom <= height
            assert 0 <= left < right <= width


def test_logit_and_attention_are_those_of_the_boxes(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    """The logit is the red of the view less that of the patches, each read from the original's pixels."""
    image = photograph(448, 448, seed=3)
    [found] = KINDS["fusing"].detector(bundle.manifest)([image], graphs, Stopwatch())
    reds = []
    for patch in found.evidence["patches"]:
        top, left, bottom, right = patch["box"]
        reds.append(image[top:bottom, left:right, 0].mean() / 255)
        assert patch["attention"] == pytest.approx(reds[-1] / 7, abs=1e-3)
    assert found.logit == pytest.approx(image[..., 0].mean() / 255 - np.mean(reds), abs=3e-3)
    assert len(found.chosen) == 2 * PATCHES


def test_the_view_and_the_crops_ask_for_different_executors(bundle: Bundle, graphs: dict[str, Graph]) -> None:
    seen: dict[str, list[int]] = {}

    def spy(name: str) -> Graph:
        def call(*arrays: Any) -> Any:
            seen.setdefault(name, []).append(len(arrays[0]))
            return graphs[name](*arrays)

        return call

    watch = Stopwatch()
    images = [photograph(300, 400, seed) for seed in range(3)]
    KINDS["fusing"].detector(bundle.manifest)(images, {name: spy(name) for name in graphs}, watch)
    assert seen == {"backbone_view": [3], "backbone": [3 * PATCHES], "fuse": [3]}
    assert list(watch.seconds) == ["view", "backbone_view", "patches", "backbone", "fuse"]


@pytest.mark.parametrize(("precision", "executors"), [("fp32", 2), ("bf16", 3)])
def test_one_file_makes_two_executors_only_where_precisions_differ(
    bundle: Bundle, precision: str, executors: int
) -> None:
    made: list[tuple[str, str]] = []

    def executor(file: Path, spec: GraphSpec, precise: str) -> Graph:
        made.append((file.name, precise))
        return lambda *arrays: arrays

    graphs = make_graphs(bundle, lambda name: precision, executor)
    assert graphs.keys() == {"backbone", "backbone_view", "fuse"}
    assert ("backbone.onnx", "fp32") in made
    assert len(made) == len(set(made)) == executors
    assert (graphs["backbone"] is graphs["backbone_view"]) == (precision == "fp32")


def test_memory_counts_the_crops(bundle: Bundle) -> None:
    assert intermediate_bytes(bundle) >= 7 * 3 * 224 * 224 * 4


def change_view(manifest: dict[str, Any]) -> None:
    manifest["view"]["resize"] = "exact"


def change_crop(manifest: dict[str, Any]) -> None:
    manifest["view"]["crop"] = [[0, 0], [1, 1]]


def change_channels(manifest: dict[str, Any]) -> None:
    manifest["view"]["channels"] = "bgr"


def change_windows(manifest: dict[str, Any]) -> None:
    manifest["parameters"] = {"windows": [[8, 224]]}


def change_count(manifest: dict[str, Any]) -> None:
    manifest["parameters"] = {"count": 0}


def change_outputs(manifest: dict[str, Any]) -> None:
    outputs = manifest["graphs"]["backbone"]["outputs"]
    manifest["graphs"]["backbone"]["outputs"] = dict(reversed(outputs.items()))


def change_graphs(manifest: dict[str, Any]) -> None:
    del manifest["graphs"]["fuse"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_view, "short side"),
        (change_crop, "centre view"),
        (change_channels, "RGB"),
        (change_windows, "parameters.windows"),
        (change_count, "parameters.count"),
        (change_outputs, "activation and embedding"),
        (change_graphs, "fuse"),
    ],
)
def test_a_bundle_whose_patches_would_be_wrong_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    check_refused(brightness_bundle(tmp_path), change, named)


@pytest.mark.parametrize("size", [*SIZES, (8, 8), (8, 400), (7, 300), (1, 1)])
def test_every_size_gets_a_verdict_or_too_small(core: Core, size: tuple[int, int]) -> None:
    data = encode(photograph(*size), "PNG")
    outcome = core.submit([Item("odd", data)], wait=True)[0].result()
    if min(size) < 8:
        assert isinstance(outcome, Rejection)
        assert outcome.reason is Reason.TOO_SMALL
    else:
        assert isinstance(outcome, Verdict)
        assert len(outcome.evidence["patches"]) == PATCHES


def test_every_kind_of_file_gets_a_verdict(core: Core) -> None:
    """Grey, CMYK, alpha, palettes, 16 bits, EXIF rotation: boxes lie in the pixels as they are stored."""
    items = [Item(name, image.data) for name, image in good().items()]
    for future, image in zip(core.submit(items, wait=True), good().values(), strict=True):
        outcome = future.result()
        height, width = image.pixels.shape[:2]
        if min(height, width) < 8:
            assert isinstance(outcome, Rejection)
            continue
        assert isinstance(outcome, Verdict), outcome.id
        boxes = [patch["box"] for patch in outcome.evidence["patches"]]
        assert all(bottom <= height and right <= width for _, _, bottom, right in boxes)
        json.dumps(outcome.to_dict())
