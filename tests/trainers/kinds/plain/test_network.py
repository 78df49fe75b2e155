"""The network, its pretrained backbones, and files that are none."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.fit import checkpoint
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.kinds.plain.network import BACKBONES, Plain
from assay.trainers.kinds.plain.run import Backbone


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_torchvision_file_becomes_the_backbone(tmp_path: Path, backbone: Backbone, wrapped: bool) -> None:
    torch.manual_seed(1)
    donor = get_model({"no_down": "resnet50", "patch_forensics": "resnet18"}.get(backbone, backbone))
    state = donor.state_dict()
    if wrapped:  # as data-parallel training saves it
        state = {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(state, tmp_path / "weights.pth")
    model = Plain(backbone)
    model.load_backbone(tmp_path / "weights.pth")

    own, donated = model.network.state_dict(), donor.state_dict()
    head = {name for name in own if own[name].shape != donated[name].shape}
    assert len(head) == 2
    assert own.keys() <= donated.keys()
    assert all(torch.equal(value, donated[name]) for name, value in own.items() if name not in head)
    assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(get_model("mobilenet_v2", weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(SetupError, match=r"lacks bn1\.bias.*more; it has classifier"):
        Plain("resnet50").load_backbone(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="vgg"):
        Plain("vgg")  # type: ignore[arg-type]


def resolutions(network: nn.Module, *layers: str) -> list[int]:
    """The side of what each of `layers` makes of a view of 64 pixels."""
    sides = []
    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda *seen: sides.append(seen[2].shape[-1]))
        for layer in layers
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return sides


def test_no_down_keeps_the_resolution_of_its_first_layers() -> None:
    layers = ("conv1", "maxpool", "layer1", "layer2", "layer4")
    usual, kept = Plain("resnet50").eval().network, Plain("no_down").eval().network
    assert resolutions(usual, *layers) == [32, 16, 16, 8, 2]
    assert resolutions(kept, *layers) == [64, 64, 64, 32, 8]
    assert usual.state_dict().keys() == kept.state_dict().keys()


def test_patch_forensics_averages_what_each_position_says() -> None:
    torch.manual_seed(2)
    model = Plain("patch_forensics").eval()
    nn.init.normal_(model.network.get_submodule("fc").weight, std=0.5)  # type: ignore[arg-type]
    views = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        averaged = model(views)
        model.network.training = True  # of itself alone: its normalisation stays in eval mode
        positions = model(views)
    assert positions.shape == (3, 16 * 16)
    expected = positions.double().sigmoid().mean(dim=1, keepdim=True).logit()
    assert torch.allclose(averaged.double(), expected, atol=1e-4)
    assert not torch.allclose(averaged.double(), positions.double().mean(dim=1, keepdim=True), atol=1e-2)
    # Far from a pixel nothing is seen of it: what a position judges is a patch.
    changed = views.clone()
    changed[:, :, :8, :8] += 5
    with torch.no_grad():
        moved = (model(changed) - positions).abs().reshape(3, 16, 16).amax(dim=0) > 1e-6
    assert moved[0, 0]
    assert not moved[8:, 8:].any()


def test_each_position_is_trained_by_itself() -> None:
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    labels = torch.tensor([0.0, 1.0])
    each = [
        binary_cross_entropy(logits[row, column].reshape(1, 1), labels[row : row + 1])
        for row in range(2)
        for column in range(2)
    ]
    assert binary_cross_entropy(logits, labels).item() == pytest.approx(torch.stack(each).mean().item())


class Payload:
    """Its unpickling would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_file_of_weights_runs_no_code(tmp_path: Path) -> None:
    torch.save({"model": Payload(tmp_path / "touched")}, tmp_path / "weights.pth")
    with pytest.raises(SetupError, match="read safely"):
        checkpoint.load_state(tmp_path / "weights.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut"])
def test_garbage_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(SetupError, match=r"weights\.pth"):
        checkpoint.load_state(tmp_path / "weights.pth")


def test_a_dictionary_of_other_things_is_no_state_dict(tmp_path: Path) -> None:
    for content in ({"model": {"a": 1}}, {}, [torch.zeros(1)]):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(SetupError, match=r"weights\.pth holds no"):
            checkpoint.load_state(tmp_path / "weights.pth")
