"""The purification network: the published layout and forward pass, masks, gradients, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.apn_networks import enliven, lively, pictures, tiny_trunks
from support.apn_published import Published
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18

from assay import kernels
from assay.engine.errors import SetupError
from assay.trainers.kinds.apn import purification
from assay.trainers.kinds.apn.network import APN, Output
from assay.trainers.kinds.apn.published import published_name

PARAMETERS = 52_166_161  # of the published module
UNREAD = 48_460 + 20  # its head_p, and the priors, which are parameters there and a buffer here
NAMES = {
    "logits": "logits",
    "logits_f": "logits_frequency",
    "logits_s": "logits_spatial",
    "f_r": "relevant_frequency",
    "f_ir": "irrelevant_frequency",
    "s_r": "relevant_spatial",
    "s_ir": "irrelevant_spatial",
    "p": "confidence",
    "images": "purified",
    "bands_a": "amplitude_bands",
    "bands_p": "phase_bands",
}


@pytest.fixture(scope="module")
def published() -> Published:
    torch.manual_seed(3)
    return Published(5).eval()


def test_layout_is_the_published_one(published: Published) -> None:
    state = published.state_dict()
    assert len(state) == 788
    assert sum(parameter.numel() for parameter in published.parameters()) == PARAMETERS
    network = APN(5)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS - UNREAD
    ours = {published_name(name, "swin_t"): value.numel() for name, value in network.state_dict().items()}
    theirs = {name: value.numel() for name, value in state.items()}
    blocks = ".conv_body."  # whose inner names differ, and whose order counts
    assert {name: ours[name] for name in ours if blocks not in name} == {
        name: theirs[name]
        for name in theirs
        if blocks not in name and ".head_p." not in name and not name.endswith("attn_mask")
    }
    assert [size for name, size in ours.items() if blocks in name] == [
        size for name, size in theirs.items() if blocks in name
    ]


def same_masks(got: Output, expected: dict[str, Tensor]) -> Tensor:
    """(B,) bool: images whose bands fall into the same cells. An end within rounding of a cell's border may
    fall on either side of it, and then moves a whole row or column."""
    lengths = torch.tensor([224.0, 224.0, 113.0, 113.0])
    same = torch.ones(len(got.logits), dtype=torch.bool)
    for ours, theirs in ((got.amplitude_bands, "bands_a"), (got.phase_bands, "bands_p")):
        cells, other = ours * lengths, expected[theirs] * lengths
        moved = cells.floor() != other.floor()
        assert torch.all((cells - cells.round()).abs()[moved] < 1e-2), "a cell moved that was on no border"
        same &= ~moved.flatten(1).any(1)
    return same


def agree(proposals: int, images: Tensor, folder: Path) -> None:
    torch.manual_seed(4)
    oracle = Published(proposals)
    enliven(oracle, images, skip="backbone")
    torch.save({"model": oracle.state_dict()}, folder / "MainModel_epoch_1.pth")
    network = APN(proposals).eval()
    network.load_published(folder / "MainModel_epoch_1.pth")
    with torch.inference_mode():
        expected, got = oracle(images), network(images, purified=True)
    same = same_masks(got, expected)
    assert same.any(), "no image chose the same bands"
    for theirs, ours in NAMES.items():
        value = getattr(got, ours)
        assert value.shape == expected[theirs].shape, ours
        rows = slice(None) if theirs.startswith("bands") else same
        assert torch.allclose(value[rows], expected[theirs][rows], rtol=1e-3, atol=1e-3), ours
    spread = {name: float(expected[name].std()) for name in ("p", "bands_a", "bands_p", "logits")}
    assert min(spread.values()) > 0.01, spread


def test_outputs_are_the_published_modules(tmp_path: Path) -> None:
    agree(5, pictures(1, 224, seed=1), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("proposals", [15, 20])
def test_outputs_are_the_published_modules_for_more_proposals(proposals: int, tmp_path: Path) -> None:
    agree(proposals, pictures(2, 224, seed=1), tmp_path)


@pytest.fixture(scope="module")
def network() -> APN:
    return APN(5)


@pytest.mark.parametrize(("wrap", "prefix"), [("", ""), ("model", "module."), ("state_dict", "")])
def test_published_checkpoints_load(
    published: Published, network: APN, wrap: str, prefix: str, tmp_path: Path
) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    kept = {prefix + name: value for name, value in published.state_dict().items()}
    content: dict[str, Any] = {wrap: kept, "optimizer": {"step": 3}, "scheduler": {}} if wrap else kept
    torch.save(content, tmp_path / "file.pth")
    network.load_published(tmp_path / "file.pth")
    head = published.frequency_branch.generative_head
    assert torch.equal(network.frequency.relevant.head.weight, head[2].weight)
    first = network.get_parameter("frequency.phase.columns.blocks.2.conv2.weight")
    body = published.frequency_branch.proposaler_2.y_proposaler.freq_conv.conv_body
    assert torch.equal(first, body[2].body[3].weight)


def test_the_inner_names_of_ordered_parts_do_not_matter(
    published: Published, network: APN, tmp_path: Path
) -> None:
    """A trunk may be torchvision's network or a sequence of its layers; a block may name its layers."""
    children = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    layers = ["conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3"]
    state = {}
    for name, value in published.state_dict().items():
        parts = name.split(".")
        if "_head.0." in name:
            parts[3] = str(children.index(parts[3]))
        if "conv_body" in name:
            parts[6:8] = [layers[int(parts[7])]]
        state[".".join(parts)] = value
    assert "frequency_branch.semantic_head.0.7.1.bn2.weight" in state
    assert "frequency_branch.proposaler_1.x_proposaler.freq_conv.conv_body.0.bn3.weight" in state
    torch.save(state, tmp_path / "file.pth")
    network.load_published(tmp_path / "file.pth")
    bn = network.get_parameter("frequency.irrelevant.trunk.layer4.1.bn2.weight")
    assert torch.equal(bn, published.frequency_branch.semantic_head[0].layer4[1].bn2.weight)


def drop(state: dict[str, Tensor]) -> None:
    del state["frequency_branch.p_pred.head.2.bias"]


def drop_block(state: dict[str, Tensor]) -> None:
    del state["frequency_branch.proposaler_1.x_proposaler.freq_conv.conv_body.0.body.3.weight"]


def add(state: dict[str, Tensor]) -> None:
    state["features_blip"] = torch.zeros(7)


def reshape(state: dict[str, Tensor]) -> None:
    state["classificator_generative.6.weight"] = torch.zeros(1, 10)


def fewer(state: dict[str, Tensor]) -> None:
    name = "frequency_branch.proposaler_2.y_proposaler.prior"
    state[name] = state[name][:3]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop, r"lacks frequency_branch\.p_pred\.head\.2\.bias$"),
        (drop_block, r"lacks .*proposaler_1\.x_proposaler\.freq_conv\.conv_body\.0\.conv2\.weight"),
        (add, "extra features_blip$"),
        (reshape, r"classificator_generative.6.weight \(1, 10\) instead of \(2, 10\)$"),
        (fewer, r"y_proposaler.prior \(3,\) instead of \(5,\)$"),
    ],
)
def test_other_files_are_refused_by_name(
    published: Published,
    network: APN,
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], None],
    named: str,
) -> None:
    state = dict(published.state_dict())
    change(state)
    torch.save({"model": state}, tmp_path / "other.pth")
    before = network.classifier[0].weight.clone()
    with torch.no_grad():
        network.classifier[0].weight += 1
    with pytest.raises(SetupError, match=named):
        network.load_published(tmp_path / "other.pth")
    assert torch.equal(network.classifier[0].weight, before + 1)


def test_other_networks_are_refused(network: APN, tmp_path: Path) -> None:
    torch.save(Published(6).state_dict(), tmp_path / "six.pth")
    with pytest.raises(SetupError, match=r"head_c\.6\.weight \(12, 56\) instead of \(10, 56\)"):
        network.load_published(tmp_path / "six.pth")
    torch.save({"model": Path}, tmp_path / "object.pth")
    with pytest.raises(SetupError, match=r"object\.pth"):
        network.load_published(tmp_path / "object.pth")


@pytest.mark.parametrize(
    ("spatial", "frequency"),
    [
        ("mobilenet_v2", "mobilenet_v2"),
        ("swin_t", "resnet18"),
        pytest.param("resnet50", "resnet50", marks=pytest.mark.full),
        pytest.param("convnext_base", "resnet18", marks=pytest.mark.full),
    ],
)
def test_every_backbone_answers_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, spatial: Any, frequency: Any
) -> None:
    def fetch(*arguments: Any, **options: Any) -> None:
        raise AssertionError("weights were fetched")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    network = APN(2, spatial, frequency, size=64).eval()
    with torch.inference_mode():
        found = network(pictures(2, 64))
    assert found.logits.shape == found.logits_frequency.shape == found.logits_spatial.shape == (2, 2)
    assert found.relevant_frequency.shape == found.irrelevant_spatial.shape == (2, 256)
    assert found.amplitude_bands.shape == found.phase_bands.shape == (2, 3, 2, 4)
    assert found.confidence.shape == (2, 2)
    assert found.purified is None


def test_a_light_network_is_light() -> None:
    """Under 20 MB in fp32 as it is served: the irrelevant head stays behind."""
    network = APN(5, "mobilenet_v2", "mobilenet_v2")
    served = [value for name, value in network.named_parameters() if ".irrelevant" not in name]
    assert 4 * sum(value.numel() for value in served) < 20e6


def test_pretrained_trunks_load(tmp_path: Path) -> None:
    spatial, frequency = mobilenet_v2(weights=None), resnet18(weights=None)
    torch.save(spatial.state_dict(), tmp_path / "spatial.pth")
    torch.save({"state_dict": frequency.state_dict()}, tmp_path / "frequency.pth")
    network = APN(2, "mobilenet_v2", "resnet18", size=32)
    network.load_trunk("spatial", tmp_path / "spatial.pth")
    network.load_trunk("frequency", tmp_path / "frequency.pth")
    assert torch.equal(network.spatial.trunk.features[0][0].weight, spatial.features[0][0].weight)
    for head in (network.frequency.relevant, network.frequency.irrelevant):
        assert torch.equal(head.trunk.layer4[1].conv2.weight, frequency.layer4[1].conv2.weight)
    with pytest.raises(SetupError, match=r"spatial\.pth does not fit this network: it lacks conv1\.weight"):
        network.load_trunk("frequency", tmp_path / "spatial.pth")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"spatial": "vgg16"}, "swin_t, convnext_base, .*, not 'vgg16'"),
        ({"proposals": 0}, "not 0 and 224"),
        ({"size": 65}, "not 15 and 65"),
        ({"masks": "blurred"}, "'hard' or 'soft', not 'blurred'"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        APN(**arguments)


def bands(batch: int, proposals: int, seed: int) -> Tensor:
    """Bands of every kind: usual, empty, reversed, beyond 1."""
    random = torch.Generator().manual_seed(seed)
    found = torch.rand(batch, 3, proposals, 4, generator=random) * 1.6
    found[0, 0, 0] = torch.tensor([0.5, 0.5, 1.2, 1.4])
    return found


@pytest.mark.parametrize("irrelevant", [False, True])
def test_soft_masks_have_the_values_of_hard_ones(irrelevant: bool) -> None:
    images = pictures(2, 48)
    spectrum = kernels.spectrum(images.numpy())
    amplitude, phase = bands(2, 4, 1), bands(2, 4, 2)
    hard = kernels.purify(spectrum, amplitude.numpy(), phase.numpy(), (48, 48), irrelevant=irrelevant)
    soft = purification.purify(
        torch.from_numpy(spectrum),
        amplitude.requires_grad_(),
        phase.requires_grad_(),
        irrelevant=irrelevant,
    )
    np.testing.assert_allclose(soft.detach().numpy(), hard, atol=1e-5)
    soft.square().sum().backward()
    for ends in (amplitude, phase):
        assert ends.grad is not None
        assert ends.grad.isfinite().all()
        assert (ends.grad[:, :, 1:] != 0).float().mean() > 0.5


def test_a_soft_edge_points_to_where_a_loss_falls() -> None:
    """Energy sits in row 20; a band that ends before it is told to grow, one that begins after it to come."""
    spectrum = torch.full((1, 1, 48, 25), 1e-3 + 0j)
    spectrum[..., 20, 5:] = 1
    ends = torch.tensor([[[[0.1, 19.5 / 48, 0.9, 0.95], [21.5 / 48, 0.9, 0.9, 0.95]]]], requires_grad=True)
    (-purification.purify(spectrum, ends, ends.detach()).square().sum()).backward()
    assert ends.grad is not None
    assert ends.grad[0, 0, 0, 1] < 0  # descent moves the end up
    assert ends.grad[0, 0, 1, 0] > 0  # and this start down


@pytest.mark.parametrize(("masks", "reached"), [("hard", False), ("soft", True)])
def test_only_soft_masks_let_the_classification_move_the_bands(masks: Any, reached: bool) -> None:
    torch.manual_seed(0)
    with tiny_trunks():
        network = APN(2, masks=masks, size=64)
    found = network(pictures(2, 64))
    nn.functional.cross_entropy(found.logits, torch.tensor([0, 1])).backward()
    for proposer in (network.frequency.amplitude, network.frequency.phase):
        for name, parameter in proposer.named_parameters():
            assert (parameter.grad is not None) == reached, name


def test_more_than_fifteen_proposals_train() -> None:
    torch.manual_seed(0)
    with tiny_trunks():
        network = APN(20, size=32)
    found = network(pictures(2, 32))
    assert (found.confidence > 0).all()
    found.logits.sum().backward()
    weight = network.frequency.confidence.head[0].weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_evaluation_gives_the_same_with_soft_masks() -> None:
    network, images = lively(), pictures(3, 64, seed=20)
    with torch.inference_mode():
        hard = network(images).logits
    network.frequency.masks = "soft"
    soft = network(images).logits
    assert torch.allclose(hard, soft, atol=1e-4)


def test_bands_keep_their_precision_under_autocast() -> None:
    network, images = lively(), pictures(3, 64, seed=20)
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images)
    assert torch.equal(exact.amplitude_bands, rounded.amplitude_bands)
    assert torch.equal(exact.phase_bands, rounded.phase_bands)
    assert not torch.equal(exact.logits, rounded.logits.float())
