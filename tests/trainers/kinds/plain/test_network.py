"""The network, its pretrained backbones, and files that are none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.export.bundle import export_graph
from assay.trainers.fit import checkpoint
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.kinds.plain.fit import manifest_template
from assay.trainers.kinds.plain.network import BACKBONES, Plain
from assay.trainers.kinds.plain.run import Backbone, PlainRun
from assay.trainers.kinds.plain.stages import GAIN, STAGES, SURE, Mix, Stages


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "stages"])
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


@pytest.mark.parametrize("content", [{"model": {"a": 1}}, {}, [torch.zeros(1)]])
def test_a_dictionary_of_other_things_is_no_state_dict(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(SetupError, match=r"weights\.pth holds no"):
        checkpoint.load_state(tmp_path / "weights.pth")


@pytest.mark.parametrize("trained_layers", [0, 2, 19])
@pytest.mark.parametrize("mixup", [False, True])
def test_stages_are_those_of_the_file_and_the_first_stay_as_they_are(
    tmp_path: Path, trained_layers: int, mixup: bool
) -> None:
    """After steps of training with every parameter offered, only the last layers and the head changed."""
    torch.manual_seed(0)
    donor = get_model("mobilenet_v2", weights=None).eval()
    for layer in donor.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as of a trained network: folding must not lose them
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    model = Plain("stages", trained_layers=trained_layers)
    model.load_backbone(tmp_path / "weights.pth")
    assert isinstance(model.network, Stages)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 2
    with torch.no_grad():
        assert torch.allclose(model.network.features(images), donor.features(images), atol=1e-4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(3):
        mix = Mix.draw(0.4, 8, images.device) if mixup else None
        optimizer.zero_grad()
        binary_cross_entropy(model.train()(images, mix), labels.float()).backward()
        optimizer.step()
    last = tuple(f"network.features.{number}." for number in range(19 - trained_layers, 19))
    for name, value in model.state_dict().items():
        changed = name.startswith(("network.head.", "network.normalise.", *last))
        assert torch.equal(value, before[name]) != changed, name


@pytest.mark.parametrize("trained_layers", [0, 12])
def test_images_are_mixed_behind_the_layers_that_stay(trained_layers: int) -> None:
    """What the first layers see is mixed exactly; a share of 1 changes nothing."""
    torch.manual_seed(4)
    network = Stages(trained_layers=trained_layers).eval()
    images, others = torch.randn(4, 3, 64, 64), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        seen = network.seen(images)
        assert torch.allclose(network.seen(images, Mix(1.0, others)), seen, atol=1e-5)
        mixed = network.seen(images, Mix(0.25, others))
    exact = 0.25 * seen + 0.75 * seen[others]
    first = 2 * (16 + 24 + 32) if trained_layers else seen.shape[1]
    assert torch.allclose(mixed[:, :first], exact[:, :first], atol=1e-5)
    assert first == seen.shape[1] or not torch.allclose(mixed[:, first:], exact[:, first:], rtol=1e-5, atol=0)


@pytest.mark.parametrize("option", ["--trained-layers 3", "--mixup 0.4"])
def test_what_is_meant_for_stages_is_refused_elsewhere(option: str) -> None:
    name, value = option.removeprefix("--").replace("-", "_").split()
    with pytest.raises(ValueError, match="stands beside --backbone stages, not resnet50"):
        PlainRun.model_validate({"data": ".", name: float(value)})


def test_stages_see_means_and_deviations() -> None:
    """Of the first stage, computed by hand; a flat image has next to no deviation in its middle."""
    network = Stages().eval()
    images = torch.randn(2, 3, 64, 64)
    first = network.features[:2](images)
    seen = network.seen(images)
    assert torch.allclose(seen[:, :16], first.mean((2, 3)), atol=1e-6)
    assert torch.allclose(seen[:, 16:32], first.flatten(2).std(2, unbiased=False), atol=1e-3)
    assert seen.shape[1] == 2 * sum(network.features[: n + 1](images).shape[1] for n in STAGES)


def test_a_second_network_counts_where_it_is_sure(tmp_path: Path) -> None:
    """It comes out of an exported bundle's graph; the logit is the larger of the two, softly."""
    torch.manual_seed(3)
    second = Plain("mobilenet_v2").eval()
    for layer in second.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias, std=0.3)
    head = second.network.get_submodule("classifier.1")
    nn.init.normal_(head.weight, std=3.0)  # type: ignore[arg-type]
    nn.init.constant_(head.bias, 0.5)  # type: ignore[arg-type]
    export_graph(second, manifest_template(64).graphs["classify"], tmp_path / "classify.onnx")
    model = Plain("stages", traces=True)
    assert isinstance(model.network, Stages)
    model.network.load_traces(tmp_path / "classify.onnx")
    images = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        sure = GAIN * (second(images) - SURE)
        served = model.eval()(images)
        head = model.network.head(model.network.normalise(model.network.seen(images)).clamp(-8, 8))
    assert torch.allclose(served, torch.logaddexp(head, sure), rtol=1e-3, atol=1e-2)
    assert not torch.allclose(served, head, atol=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()(images).sum().backward()
    assert all(
        torch.equal(value, before[name]) for name, value in model.state_dict().items() if "traces" in name
    )
    assert all(one.grad is None for one in model.network.traces.parameters())  # type: ignore[union-attr]


def test_a_second_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    model = Plain("stages", traces=True).network
    assert isinstance(model, Stages)
    with pytest.raises(SetupError, match="not an ONNX graph"):
        model.load_traces(tmp_path / "none.onnx")
    export_graph(Plain("patch_forensics"), manifest_template(64).graphs["classify"], tmp_path / "other.onnx")
    with pytest.raises(SetupError, match=r"no features\.0\.0\.weight"):
        model.load_traces(tmp_path / "other.onnx")
