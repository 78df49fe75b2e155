"""The noise-pattern classifier: attention in its forms, five channels, pretrained weights."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.kinds.lnp.attention import ChannelAttention
from assay.trainers.kinds.lnp.network import LNP, inflated
from assay.trainers.kinds.lnp.run import AttentionForm, Classifier


def spectra_like(side: int) -> Tensor:
    """(2, 2, side, side) float64: amplitudes around -5 and phases, as of 256 pixels a side."""
    random = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 2, side, side, generator=random, dtype=torch.float64)
    return noise * torch.tensor([0.6, 1.8])[:, None, None] + torch.tensor([-5.0, 0.0])[:, None, None]


@pytest.mark.parametrize("form", ["paper", "danet"])
def test_literal_forms_against_the_formula(form: AttentionForm) -> None:
    maps = spectra_like(2) / 4
    attention = ChannelAttention(form).double()
    nn.init.constant_(attention.gamma, 0.7)
    for image, found in zip(maps, attention(maps), strict=True):
        energies = [[float((one * two).sum()) for two in image] for one in image]
        for row, values in enumerate(energies):
            signed = [value if form == "paper" else max(values) - value for value in values]
            weights = [torch.tensor(value).double().exp() for value in signed]
            mixed = sum(weight * one for weight, one in zip(weights, image, strict=True)) / sum(weights)
            assert torch.allclose(found[row], 0.7 * mixed + image[row])


def test_only_the_normalised_form_mixes_large_maps() -> None:
    maps = spectra_like(128)
    assert torch.equal(ChannelAttention("danet").weights(maps)[0].round(decimals=6).amax(1), torch.ones(2))
    weights = ChannelAttention().weights(maps)
    assert float(weights.max()) < 0.9
    assert torch.allclose(weights.sum(2), torch.ones(2, 2).double())
    correlation = torch.corrcoef(maps[0].flatten(1))
    assert torch.allclose(weights[0], correlation.softmax(1))
    assert torch.allclose(ChannelAttention().weights(3 * maps + 40), weights)


@pytest.mark.parametrize("form", get_args(AttentionForm))
def test_attention_begins_as_the_identity_and_learns(form: AttentionForm) -> None:
    maps, attention = spectra_like(8).float(), ChannelAttention(form)
    assert torch.equal(attention(maps), maps)
    attention(maps).square().sum().backward()
    assert attention.gamma.grad is not None
    assert attention.gamma.grad.abs().item() > 0
    assert ChannelAttention()(torch.zeros(1, 2, 4, 4)).isfinite().all()


@pytest.mark.parametrize("classifier", get_args(Classifier))
@pytest.mark.parametrize("planes", [2, 6])
def test_every_classifier_answers(classifier: Classifier, planes: Any) -> None:
    torch.manual_seed(0)
    network = LNP(classifier, planes=planes).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 64, 64) / 200, torch.randn(2, planes, 64, 64))
    assert logits.shape == (2, 1)
    assert logits[0] != logits[1]


@pytest.mark.parametrize(("attended", "moved"), [("spectra", [3, 4]), ("all", [0, 1, 2, 3, 4]), ("none", [])])
def test_attention_weighs_what_it_was_told_to(attended: Any, moved: list[int]) -> None:
    network = LNP(attended=attended).eval()
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    pattern, spectra = torch.randn(1, 3, 32, 32), torch.randn(1, 2, 32, 32)
    with torch.inference_mode():
        network(pattern, spectra)
        for parameter in network.parameters():
            if parameter.shape == (1,) and parameter is not network.network:
                parameter.fill_(1.0)
        network(pattern, spectra)
    changed = (seen[0] != seen[1]).flatten(2).any(2)[0].nonzero().flatten().tolist()
    assert changed == moved


def test_channels_enter_at_one_scale() -> None:
    network = LNP(attended="none").train()
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.randn(2, 3, 32, 32) / 300, 3 * torch.randn(2, 2, 32, 32) - 5)
    assert torch.allclose(seen[0].std(dim=(0, 2, 3)), torch.ones(5), atol=0.06)


@pytest.mark.parametrize(("classifier", "first"), [("mobilenet_v2", "features.0.0"), ("resnet34", "conv1")])
def test_imagenet_weights_are_inflated(classifier: Any, first: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    pretrained = get_model(classifier, weights=None)
    torch.save(pretrained.state_dict(), tmp_path / "imagenet.pth")
    network = LNP(classifier)
    network.load_backbone(tmp_path / "imagenet.pth")
    grey = torch.randn(1, 1, 32, 32)
    old, new = pretrained.get_submodule(first), network.network.get_submodule(first)
    assert torch.allclose(old(grey.expand(-1, 3, -1, -1)), new(grey.expand(-1, 5, -1, -1)), atol=1e-5)
    own = network.network.state_dict()
    for name, value in pretrained.state_dict().items():
        if not name.startswith((first + ".", "fc.", "classifier.")):
            assert torch.equal(own[name], value), name
    torch.save({"model": {"conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "other.pth")
    with pytest.raises(SetupError, match="it lacks"):
        network.load_backbone(tmp_path / "other.pth")


def test_inflating_keeps_the_colours() -> None:
    kernel = torch.randn(4, 3, 3, 3)
    assert torch.allclose(inflated(kernel, 6)[:, :3], kernel / 2)
    assert inflated(kernel, 6).shape == (4, 6, 3, 3)


@pytest.mark.parametrize(
    "arguments", [{"classifier": "vgg16"}, {"attended": "faces"}, {"planes": 3}, {"attention": "x"}]
)
def test_unknown_names_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        LNP(**arguments)
