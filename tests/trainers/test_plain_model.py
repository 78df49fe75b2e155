"""The network, its pretrained backbones, and files that are none."""

from pathlib import Path

import pytest
import torch
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers import checkpoint
from assay.trainers.models.plain import BACKBONES, Backbone, Plain


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_torchvision_file_becomes_the_backbone(tmp_path: Path, backbone: Backbone, wrapped: bool) -> None:
    torch.manual_seed(1)
    donor = get_model(backbone, weights=None)
    state = donor.state_dict()
    if wrapped:  # as data-parallel training saves it
        state = {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(state, tmp_path / "weights.pth")
    model = Plain(backbone)
    model.load_backbone(tmp_path / "weights.pth")

    own = model.network.state_dict()
    head = {name for name in own if own[name].shape != donor.state_dict()[name].shape}
    assert len(head) == 2
    assert all(
        torch.equal(own[name], value) for name, value in donor.state_dict().items() if name not in head
    )
    assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(get_model("mobilenet_v2", weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(SetupError, match=r"lacks bn1\.bias.*more; it has classifier"):
        Plain("resnet50").load_backbone(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="vgg"):
        Plain("vgg")  # type: ignore[arg-type]


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
