"""What the peers compute is what Assay computes, of the same images."""

import numpy as np
import pytest

from assay.bench.peers.network import Network
from assay.bench.peers.one_view import one_view
from assay.engine import Engine
from assay.engine.bundle import Bundle
from assay.engine.executors.openvino import computes_int8
from assay.engine.load.images import made
from assay.engine.outcome import Verdict
from assay.engine.settings import PrecisionName, Settings

IMAGES = made(6)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return one_view(tmp_path_factory.mktemp("bundles") / "one-view")


def probabilities(bundle: Bundle, precision: PrecisionName) -> list[float]:
    with Engine(bundle, settings=Settings(workers=0, precision=precision)) as engine:
        outcomes = engine.score(IMAGES)
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    return [outcome.probability for outcome in outcomes if isinstance(outcome, Verdict)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_with_openvino(bundle: Bundle, precision: PrecisionName) -> None:
    if precision == "int8" and not computes_int8():
        pytest.skip("this CPU has no int8")
    network = Network(bundle.path, precision, 4)
    wanted = probabilities(bundle, precision)
    assert np.ptp(wanted) > 0.1
    assert [*network(IMAGES[:4]), *network(IMAGES[4:])] == pytest.approx(wanted, abs=1e-3)
    assert network(IMAGES[:1]) == pytest.approx(wanted[:1], abs=1e-3)


def test_with_torch(bundle: Bundle) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("onnx")
    from assay.bench.peers.torch_network import TorchNetwork

    wanted = probabilities(bundle, "fp32")
    assert TorchNetwork(bundle.path, "fp32")(IMAGES) == pytest.approx(wanted, abs=1e-3)
    assert TorchNetwork(bundle.path, "best")(IMAGES) == pytest.approx(wanted, abs=0.1)


def test_a_bundle_of_one_view(bundle: Bundle) -> None:
    assert bundle.manifest.view.crops == 1
