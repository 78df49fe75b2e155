"""A fusing network in torch and as an exported bundle on OpenVINO: parity on photographs of many sizes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fusing_networks import lively
from support.parity_suite import LIVELY, check_engine, check_few, check_many, check_sizes, photographs, pillow

from assay.engine.bundle import Bundle
from assay.engine.detectors import Graph
from assay.engine.executors.openvino import computes_bf16
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Side, compare
from assay.trainers.kinds.fusing.bundle import export, manifest_template, torch_graphs
from assay.trainers.kinds.fusing.network import Fusing


@pytest.fixture(scope="module")
def network() -> Fusing:
    return lively("mobilenet_v2")


@pytest.fixture(scope="module")
def bundle(network: Fusing, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    manifest = manifest_template().model_copy(update=LIVELY)
    return export(network, tmp_path_factory.mktemp("fusing"), manifest)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photographs(tmp_path_factory.mktemp("photographs"))[::2]


@pytest.fixture(scope="module")
def reference(network: Fusing) -> Side:
    return Side(torch_graphs(network), pillow)


def test_fp32_is_torch(bundle: Bundle, files: list[Path], reference: Side) -> None:
    check_sizes(bundle, reference, files)


@pytest.mark.skipif(not computes_bf16(), reason="this CPU does not compute in bfloat16")
def test_bf16_looks_where_fp32_looks(bundle: Bundle, files: list[Path], reference: Side) -> None:
    """How far its probabilities are off is for trained weights to say: random ones exaggerate."""
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle, "bf16")))
    assert parity.same_choices == 1  # the view pass stays in fp32
    assert parity.forced > 0.001  # and the rest is really bf16


def test_real_photographs(bundle: Bundle, reference: Side) -> None:
    check_few(bundle, reference)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_two_hundred_real_photographs(bundle: Bundle, reference: Side) -> None:
    check_many(bundle, reference)


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


def test_the_engine_gives_torchs_verdicts(bundle: Bundle, files: list[Path], network: Fusing) -> None:
    for served, expected in check_engine(bundle, torch_graphs(network), files):
        boxes = [patch["box"] for patch in served.evidence["patches"]]
        assert boxes == [patch["box"] for patch in expected.evidence["patches"]]
