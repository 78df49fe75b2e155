"""A purification network in torch and as an exported bundle on OpenVINO, on photographs of many sizes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import real_photos
from support.apn_networks import enliven, lively, pictures
from support.parity_suite import LIVELY, check_engine, check_few, check_many, check_sizes, photographs, pillow

from assay import kernels
from assay.engine.bundle import Bundle
from assay.engine.detectors import KINDS, Graph, Stopwatch
from assay.engine.executors.openvino import computes_bf16
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Side, compare
from assay.trainers.kinds.apn.bundle import export, manifest_template, torch_graphs
from assay.trainers.kinds.apn.network import APN

PROPOSALS, SIZE = 3, 64


@pytest.fixture(scope="module")
def network() -> APN:
    return lively(PROPOSALS, SIZE)


@pytest.fixture(scope="module")
def bundle(network: APN, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    manifest = manifest_template(PROPOSALS, SIZE).model_copy(update=LIVELY)
    return export(network, tmp_path_factory.mktemp("apn"), manifest)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def reference(network: APN) -> Side:
    return Side(torch_graphs(network), pillow)


def test_fp32_is_torch(bundle: Bundle, files: list[Path], reference: Side) -> None:
    check_sizes(bundle, reference, files)


@pytest.mark.skipif(not computes_bf16(), reason="this CPU does not compute in bfloat16")
def test_bf16_chooses_what_fp32_chooses(bundle: Bundle, files: list[Path], reference: Side) -> None:
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle, "bf16")))
    assert parity.same_choices == 1  # proposals stay in fp32
    assert 0.0001 < parity.forced <= 0.1  # and the rest is really bf16


def test_real_photographs(bundle: Bundle, reference: Side) -> None:
    check_few(bundle, reference)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_two_hundred_real_photographs(bundle: Bundle, reference: Side) -> None:
    check_many(bundle, reference)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_papers_network(tmp_path: Path) -> None:
    """Swin-T and ResNet-18 at 224 pixels with 15 proposals, exported, in fp32 and, where it can, in bf16."""
    torch.manual_seed(3)
    network = APN()
    enliven(network, pictures(2, 224), skip="trunk")
    named = {"name": "paper", "version": "1", "licence": "none"}
    bundle = export(network, tmp_path, manifest_template(15, 224).model_copy(update=named))
    files, reference = real_photos.few(6), Side(torch_graphs(network), pillow)
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.same_choices >= 0.8  # an end within rounding of a cell's border falls on either side
    assert parity.passes("fp32")
    if computes_bf16():
        parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle, "bf16")))
        assert parity.forced <= 0.1  # these weights are wilder than trained ones


def test_a_moved_band_is_seen_and_told_apart_from_a_wrong_graph(
    bundle: Bundle, files: list[Path], reference: Side
) -> None:
    graphs = graphs_of(bundle)

    def moved(*arrays: Any) -> Any:
        amplitude, phase = graphs["propose"](*arrays)
        return amplitude + np.float32(0.25), phase

    def shifted(*arrays: Any) -> Any:
        logit, confidence = graphs["classify"](*arrays)
        return logit + 0.5, confidence

    def against(**wrong: Graph) -> Any:
        return compare(files[:4], bundle.manifest, reference, Side({**graphs, **wrong}))

    elsewhere = against(propose=moved)
    assert elsewhere.same_choices == 0
    assert elsewhere.forced <= 0.001 < elsewhere.largest
    wrong = against(classify=shifted)
    assert wrong.same_choices == 1
    assert wrong.forced > 0.03


def test_red_and_blue_are_not_exchanged(bundle: Bundle, files: list[Path], reference: Side) -> None:
    turned = replace(reference, decode=lambda file: np.ascontiguousarray(pillow(file)[..., ::-1]))
    assert compare(files[:4], bundle.manifest, reference, turned).largest > 0.001


def test_the_served_chain_is_the_forward_pass(network: APN, bundle: Bundle, files: list[Path]) -> None:
    """Logits are the log-odds of the softmax; bands and confidences are the network's."""
    images = [pillow(file) for file in files]
    with torch.inference_mode():
        expected = network(torch.from_numpy(kernels.view(images, bundle.manifest.view)))
    odds = expected.logits.softmax(dim=1)
    found = KINDS["apn"].detector(bundle.manifest)(images, torch_graphs(network), Stopwatch())
    for number, detection in enumerate(found):
        wanted = math.log(float(odds[number, 1]) / float(odds[number, 0]))
        assert detection.logit == pytest.approx(wanted, abs=1e-3)
        confidence = sorted(expected.confidence[number].tolist(), reverse=True)
        bands = detection.evidence["bands"]
        assert [band["confidence"] for band in bands] == pytest.approx(confidence, abs=1e-3)
    assert np.std([detection.logit for detection in found]) > 0.01
    assert len({detection.chosen for detection in found}) > 1


def test_the_engine_gives_torchs_verdicts(bundle: Bundle, files: list[Path], network: APN) -> None:
    for served, expected in check_engine(bundle, torch_graphs(network), files):
        held = [band["amplitude"] for band in served.evidence["bands"]]
        assert held == [band["amplitude"] for band in expected.evidence["bands"]]
        assert set(served.seconds) >= {"view", "spectrum", "propose", "purify", "classify"}
