"""Weights out of an exported graph: the same features, and training that goes on from them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from assay.engine.errors import SetupError
from assay.trainers.export.bundle import export_graph
from assay.trainers.kinds.backbone import features
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.plain.fit import manifest_template
from assay.trainers.kinds.plain.network import Plain


@pytest.fixture(scope="module")
def plain() -> Plain:
    """With statistics and scales as a trained network has them."""
    torch.manual_seed(0)
    network = Plain("mobilenet_v2").eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.4)
            nn.init.normal_(layer.bias, std=0.3)
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network


@pytest.fixture(scope="module")
def graph(plain: Plain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("graph") / "classify.onnx"
    export_graph(plain, manifest_template(64).graphs["classify"], file)
    return file


@pytest.mark.parametrize("mode", [True, False])
def test_features_are_those_of_the_exported_network(plain: Plain, graph: Path, mode: bool) -> None:
    network = Fusing("mobilenet_v2")
    network.hold = True
    network.load_backbone(graph)
    images = torch.randn(2, 3, 64, 64)
    network.train(mode)  # held statistics make no difference between training and not
    with torch.no_grad():
        got = features(network.resnet, images)
        expected = features(plain.network, images)
    assert expected.std() > 0.1
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_held_statistics_stay_while_weights_learn(graph: Path) -> None:
    network = Fusing("mobilenet_v2")
    network.hold = True
    network.load_backbone(graph)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    assert network.training
    network.embed(torch.randn(2, 3, 64, 64))[1].sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert "resnet.features.0.0.weight" in changed
    assert not [name for name in changed if "running" in name or "tracked" in name]


def test_what_cannot_be_trained_on_is_refused(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--hold-statistics"):
        Fusing("mobilenet_v2").load_backbone(graph)
    other = Fusing("resnet18")
    other.hold = True
    with pytest.raises(SetupError, match=r"no conv1\.weight"):
        other.load_backbone(graph)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(SetupError, match="ONNX graph that can be read"):
        other.load_backbone(tmp_path / "text.onnx")
