"""The Fusing network: the published layout, the forward pass against the published procedure, gradients."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.fusing import SIZES, resized
from support.fusing_networks import inputs, lively, published_layout
from torch import Tensor, nn
from torchvision.models import resnet18

from assay.bench.published import fusing as published
from assay.engine.detectors import KINDS, Stopwatch
from assay.engine.errors import SetupError
from assay.trainers.kinds.fusing import patches
from assay.trainers.kinds.fusing.bundle import manifest_template, torch_graphs
from assay.trainers.kinds.fusing.network import Fusing

FEW = SIZES[::2]


@pytest.fixture(scope="module")
def network() -> Fusing:
    return lively()


def test_layout_is_the_published_one() -> None:
    network = Fusing()
    state = network.state_dict()
    trunk = {name.removeprefix("resnet."): value for name, value in state.items() if "resnet." in name}
    expected = published_layout(trunk, 2048)
    assert len(trunk) == 320
    assert sum("mha_list." in name for name in state) == 36
    assert len(state) == 360
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in expected.items()
    }
    assert sum(parameter.numel() for parameter in network.parameters()) == 26_118_185


@pytest.mark.parametrize(
    ("wrap", "prefix", "classifier"),
    list(itertools.product(["", "model", "state_dict"], ["", "module."], [True, False])),
)
def test_published_checkpoints_load(tmp_path: Path, wrap: str, prefix: str, classifier: bool) -> None:
    state = published_layout(resnet18(weights=None).state_dict(), 512)
    kept = {prefix + name: value for name, value in state.items() if classifier or "resnet.fc" not in name}
    content: dict[str, Any] = {wrap: kept, "optimizer": {"step": 3}, "total_steps": 7} if wrap else kept
    torch.save(content, tmp_path / "model_epoch_best.pth")
    network = Fusing("resnet18")
    network.load_published(tmp_path / "model_epoch_best.pth")
    for name, value in network.state_dict().items():
        if classifier or "resnet.fc" not in name:
            assert torch.equal(value, state[name]), name


def drop(state: dict[str, Tensor]) -> None:
    del state["mha_list.1.ln2.weight"]


def add(state: dict[str, Tensor]) -> None:
    state["pos_embed"] = torch.zeros(7)


def reshape(state: dict[str, Tensor]) -> None:
    state["fc.weight"] = torch.zeros(2, 128)


def trunk_only(state: dict[str, Tensor]) -> None:
    for name in [name for name in state if not name.startswith("resnet.")]:
        del state[name]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop, "lacks mha_list.1.ln2.weight$"),
        (add, "extra pos_embed$"),
        (reshape, r"fc.weight \(2, 128\) instead of \(1, 128\)$"),
        (trunk_only, r"lacks fc1\.weight, (?:[\w.]+, ){6}[\w.]+ and \d+ more$"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], None], named: str
) -> None:
    state = published_layout(resnet18(weights=None).state_dict(), 512)
    change(state)
    torch.save({"model": state}, tmp_path / "other.pth")
    network = Fusing("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(SetupError, match=named):
        network.load_published(tmp_path / "other.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Path}, tmp_path / "object.pth")
    with pytest.raises(SetupError, match=r"object\.pth"):
        Fusing("resnet18").load_published(tmp_path / "object.pth")


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18", "mobilenet_v2"])
def test_pretrained_backbones_load_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Any
) -> None:
    def fetch(*arguments: Any, **options: Any) -> None:
        raise AssertionError("weights were fetched")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    one, other = Fusing(backbone), Fusing(backbone)
    torch.save(one.resnet.state_dict(), tmp_path / "imagenet.pth")
    other.load_backbone(tmp_path / "imagenet.pth")
    for ours, theirs in zip(one.resnet.parameters(), other.resnet.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="resnet50, resnet18, mobilenet_v2, not 'vgg16'"):
        Fusing("vgg16")  # type: ignore[arg-type]


def test_forward_is_the_published_procedure(network: Fusing, tmp_path: Path) -> None:
    images = [resized(*size, seed=seed) for seed, size in enumerate(FEW)]
    logits, views = [], []
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        logits.append(published.score(network, tmp_path / f"{number}.png", Stopwatch())[0])
        views.append(published.view(Image.fromarray(pixels)))
    originals, _ = inputs(images)
    with torch.inference_mode():
        got = network(originals, torch.stack(views)).flatten().tolist()
    assert max(logits) - min(logits) > 1
    assert got == pytest.approx(logits, abs=1e-3)


def test_a_part_of_each_patch_is_its_middle(network: Fusing) -> None:
    originals, views = inputs([resized(300, 420, seed=7)])
    with torch.inference_mode():
        activation, embedding = network.embed(views)
        patches = network.crops(originals, activation, 224)
        _, local = network.embed(patches[:, :, 56:168, 56:168])
        expected = network.fuse(torch.cat([local[None], embedding[None]], dim=1))[0]
        assert network(originals, views, 112).item() == pytest.approx(expected.item(), abs=1e-4)
        assert network(originals, views, 224).item() == network(originals, views).item()
        assert abs(network(originals, views, 112).item() - network(originals, views).item()) > 1e-3


def test_the_served_chain_is_the_forward_pass(network: Fusing) -> None:
    images = [resized(*size, seed=seed) for seed, size in enumerate(FEW)]
    originals, views = inputs(images)
    with torch.inference_mode():
        expected = network(originals, views).flatten().tolist()
        from_bytes = network([torch.from_numpy(image) for image in images], views).flatten().tolist()
    found = KINDS["fusing"].detector(manifest_template())(images, torch_graphs(network), Stopwatch())
    assert [one.logit for one in found] == pytest.approx(expected, abs=1e-3)
    assert from_bytes == pytest.approx(expected, abs=1e-3)


def test_tokens_are_a_set_read_out_at_the_last(network: Fusing) -> None:
    random = torch.Generator().manual_seed(3)
    tokens = torch.randn(4, 7, 128, generator=random)
    order = torch.randperm(6, generator=random)
    with torch.inference_mode():
        logit, attention = network.fuse(tokens)
        turned, permuted = network.fuse(torch.cat([tokens[:, order], tokens[:, 6:]], dim=1))
        rolled, _ = network.fuse(tokens.roll(1, dims=1))
    assert torch.allclose(logit, turned, atol=1e-4)
    assert torch.allclose(attention[:, order], permuted, atol=1e-5)
    assert not torch.allclose(logit, rolled, atol=1e-2)
    assert attention.shape == (4, 6)
    assert (attention >= 0).all()
    assert (attention.sum(dim=1) < 1).all()  # the rest is the global token's attention to itself


def test_gradients_reach_the_backbone_through_view_and_patches_but_not_through_the_choice() -> None:
    torch.manual_seed(0)
    network = Fusing("resnet18")
    originals, views = inputs([resized(260, 300, seed) for seed in range(2)])
    views = views[:, :, ::2, ::2]  # views and patches of 112 pixels do as well here, and are faster
    activation, embedding = network.embed(views)
    crops = network.crops(originals, activation, 112)
    assert not crops.requires_grad
    assert activation.requires_grad
    for part in (embedding.sum(), network.embed(crops)[1].sum()):
        network.zero_grad()
        part.backward(retain_graph=True)
        first = network.get_parameter("resnet.conv1.weight").grad
        assert first is not None
        assert first.abs().sum() > 0
    nn.functional.binary_cross_entropy_with_logits(network(originals, views), torch.ones(2, 1)).backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {"resnet.fc.weight", "resnet.fc.bias"}


def test_random_patches_lie_in_the_image_and_repeat_only_outside_training() -> None:
    images = [torch.from_numpy(resized(*size, seed=3)) for size in ((300, 500), (300, 500), (90, 400))]
    activation = torch.zeros(3, 7, 7)
    torch.manual_seed(1)
    first, second = (patches.random(images, activation, 224, True) for _ in range(2))
    assert first.shape == (18, 3, 224, 224)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(first, patches.random(images, activation, 224, True))
    again, once = (patches.random(images, activation, 224, False) for _ in range(2))
    assert torch.equal(again, once)
    assert torch.equal(once[:6], once[6:12])  # two images of one size and content


def test_resized_patches_are_corners_and_centre_of_the_image_at_twice_the_size() -> None:
    image = torch.zeros(448, 448, 3, dtype=torch.uint8)
    for number, (top, left) in enumerate(((0, 0), (0, 224), (224, 0), (224, 224))):
        image[top : top + 224, left : left + 224] = 60 * (number + 1)
    cut = patches.resized([image], torch.zeros(1, 7, 7), 224, False)
    red = cut[:, 0] * 0.229 + 0.485
    corners = [float(red[index].mean() * 255) for index in (0, 1, 3, 4)]
    assert corners == pytest.approx([60, 120, 180, 240], abs=0.5)
    assert float(red[2, :112, :112].mean() * 255) == pytest.approx(60, abs=0.5)
    assert float(red[2, 112:, 112:].mean() * 255) == pytest.approx(240, abs=0.5)


@pytest.mark.parametrize(("rule", "count"), [("random", 6), ("resized", 5)])
def test_ablations_take_the_same_weights(network: Fusing, rule: Any, count: int) -> None:
    ablation = Fusing("resnet18", rule).eval()
    ablation.load_state_dict(network.state_dict())
    originals, views = inputs([resized(300, 260, 1), resized(100, 90, 2)])
    with torch.inference_mode():
        assert ablation.crops(originals, torch.zeros(2, 7, 7), 224).shape == (2 * count, 3, 224, 224)
        assert not torch.allclose(ablation(originals, views), network(originals, views))
