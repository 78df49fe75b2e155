"""A fusing network in torch and as an exported bundle on OpenVINO: parity on photographs of many sizes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import real_photos
from support.fusing import SIZES, Pixels, resized
from support.fusing_networks import lively

from assay.engine.bundle import Bundle, Thresholds
from assay.engine.core import Core
from assay.engine.detectors import KINDS, Graph, Stopwatch
from assay.engine.executors.openvino import computes_bf16
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Side, compare
from assay.trainers.kinds.fusing.bundle import export, manifest_template, torch_graphs
from assay.trainers.kinds.fusing.network import Fusing


def pillow(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def photographs(folder: Path, count: int) -> list[Path]:
    """`count` JPEG files with what two photographs show, in sizes from 33 to 2000 pixels."""
    random = np.random.default_rng(5)
    files = []
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        grow = 1 if number < len(SIZES) else random.uniform(0.7, 1.4)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(resized(int(height * grow), int(width * grow), number)).save(files[-1], quality=90)
    return files


@pytest.fixture(scope="module")
def network() -> Fusing:
    return lively("mobilenet_v2")


@pytest.fixture(scope="module")
def bundle(network: Fusing, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    named = {"name": "lively", "version": "1.0.0", "licence": "Apache-2.0"}
    half = {"thresholds": Thresholds(synthetic=0.8, authentic=0.2)}
    return export(
        network, tmp_path_factory.mktemp("fusing"), manifest_template().model_copy(update=named | half)
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photographs(tmp_path_factory.mktemp("photographs"), len(SIZES))[::2]


@pytest.fixture(scope="module")
def reference(network: Fusing) -> Side:
    return Side(torch_graphs(network), pillow)


def test_fp32_is_torch(bundle: Bundle, files: list[Path], reference: Side) -> None:
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == len(files)
    assert parity.same_choices == 1
    assert parity.forced <= 0.001
    assert parity.largest <= 0.001
    assert parity.changed_labels == 0


@pytest.mark.skipif(not computes_bf16(), reason="this CPU does not compute in bfloat16")
def test_bf16_looks_where_fp32_looks(bundle: Bundle, files: list[Path], reference: Side) -> None:
    """How far its probabilities are off is for trained weights to say: random ones exaggerate."""
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle, "bf16")))
    assert parity.same_choices == 1  # the view pass stays in fp32
    assert parity.forced > 0.001  # and the rest is really bf16


def test_real_photographs(bundle: Bundle, reference: Side) -> None:
    parity = compare(real_photos.few(8), bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == 8
    assert parity.same_choices == 1
    assert parity.largest <= 0.001


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_two_hundred_real_photographs(bundle: Bundle, reference: Side) -> None:
    """Two hundred distinct photographs as they are stored, shorter sides from 128 to 1280 pixels."""
    files = real_photos.many(200)
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == 200
    assert parity.same_choices >= 0.99
    assert parity.passes("fp32")
    assert parity.p95 <= 0.001
    assert parity.changed_labels <= 0.005


def test_a_flipped_index_is_seen_and_told_apart_from_a_wrong_graph(
    bundle: Bundle, files: list[Path], reference: Side
) -> None:
    graphs = graphs_of(bundle)

    def turned(*arrays: Any) -> Any:
        activation, embedding = graphs["backbone_view"](*arrays)
        return np.ascontiguousarray(activation[:, ::-1]), embedding

    def shifted(*arrays: Any) -> Any:
        logit, attention = graphs["fuse"](*arrays)
        return logit + 0.5, attention

    def against(**wrong: Graph) -> Any:
        return compare(files[:4], bundle.manifest, reference, Side({**graphs, **wrong}))

    looks_elsewhere = against(backbone_view=turned)
    assert looks_elsewhere.same_choices == 0
    assert looks_elsewhere.forced <= 0.001 < looks_elsewhere.p95
    assert looks_elsewhere.passes("fp32")

    answers_wrongly = against(fuse=shifted)
    assert answers_wrongly.same_choices == 1
    assert answers_wrongly.forced > 0.05
    assert not answers_wrongly.passes("bf16")


def test_a_decoder_that_differs_is_seen(bundle: Bundle, files: list[Path], reference: Side) -> None:
    graphs = graphs_of(bundle)
    bright = replace(reference, graphs=graphs, decode=lambda file: 255 - pillow(file))
    parity = compare(files[:4], bundle.manifest, Side(graphs, pillow), bright)
    assert parity.largest > 0.01


@pytest.fixture(scope="module")
def core(bundle: Bundle) -> Iterator[Core]:
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    yield core
    core.stop()


def test_the_engine_gives_torchs_verdicts(core: Core, files: list[Path], network: Fusing) -> None:
    """From bytes to outcome: batches, admission and calibration change nothing."""
    items = [Item(file.name, file.read_bytes()) for file in files]
    outcomes = [future.result() for future in core.submit(items, wait=True)]
    manifest = core.bundles["lively"].manifest
    for file, outcome in zip(files, outcomes, strict=True):
        [expected] = KINDS["fusing"].detector(manifest)([pillow(file)], torch_graphs(network), Stopwatch())
        assert isinstance(outcome, Verdict)
        assert outcome.scores["fusing"] == pytest.approx(expected.logit, abs=1e-3)
        boxes = [patch["box"] for patch in outcome.evidence["patches"]]
        assert boxes == [patch["box"] for patch in expected.evidence["patches"]]
