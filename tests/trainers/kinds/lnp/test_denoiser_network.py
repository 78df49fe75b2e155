"""The denoising networks: the published layout, the forward pass against an oracle, files, the 8-bit form."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cycleisp import denoised, random_weights
from torch import Tensor, nn

from assay.engine.errors import SetupError
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Pattern, Student, published_pattern

SIZES = [(16, 16), (7, 13), (1, 1), (5, 32)]


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return random_weights(2, 2)


def test_layout_is_the_published_one() -> None:
    network = Denoiser()
    expected = random_weights(4, 8)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in expected.items()
    }
    assert len(expected) == 399
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_834_947
    assert sum(isinstance(layer, nn.PReLU) for layer in network.modules()) == 1


@pytest.mark.parametrize("size", SIZES)
def test_forward_is_the_oracles(weights: dict[str, Tensor], size: tuple[int, int], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "file.pth")
    network = Denoiser(2, 2).double()
    network.load_published(tmp_path / "file.pth")
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        pattern = network(images)
    wanted = denoised(weights, images, 2, 2)
    assert float((images - wanted).abs().mean()) > 0.01
    assert torch.allclose(images - pattern, wanted, atol=1e-12)


def test_the_whole_network_is_the_oracles(tmp_path: Path) -> None:
    weights = random_weights(4, 8, seed=2)
    torch.save({"state_dict": weights, "epoch": 9}, tmp_path / "file.pth")
    network = Denoiser()
    network.load_published(tmp_path / "file.pth")
    images = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        pattern = network(images)
    wanted = images - denoised(weights, images, 4, 8)
    assert float((pattern - wanted).norm() / wanted.norm()) < 1e-4


@pytest.mark.parametrize(
    ("wrap", "prefix"), list(itertools.product(["", "model", "state_dict"], ["", "module."]))
)
def test_published_checkpoints_load(
    weights: dict[str, Tensor], tmp_path: Path, wrap: str, prefix: str
) -> None:
    state = {prefix + name: value for name, value in weights.items()}
    content: dict[str, Any] = {wrap: state, "epoch": 3, "optimizer": {"step": 7}} if wrap else state
    torch.save(content, tmp_path / "sidd_rgb.pth")
    network = Denoiser(2, 2)
    network.load_published(tmp_path / "sidd_rgb.pth")
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name]), name


def drop(state: dict[str, Tensor]) -> None:
    del state["body.1.body.0.CA.conv_du.2.bias"]


def add(state: dict[str, Tensor]) -> None:
    state["raw2rgb.weight"] = torch.zeros(3)


def reshape(state: dict[str, Tensor]) -> None:
    state["head.0.weight"] = torch.zeros(96, 3, 3, 3)


def untie(state: dict[str, Tensor]) -> None:
    state["body.1.body.1.body.1.weight"] = torch.ones(64)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop, r"lacks body\.1\.body\.0\.CA\.conv_du\.2\.bias$"),
        (add, r"extra raw2rgb\.weight$"),
        (reshape, r"head\.0\.weight \(96, 3, 3, 3\) instead of \(64, 3, 3, 3\)$"),
        (untie, r"body\.1\.body\.1\.body\.1\.weight should equal body\.0\.body\.0\.body\.1\.weight"),
    ],
)
def test_other_files_are_refused_by_name(
    weights: dict[str, Tensor], tmp_path: Path, change: Callable[[dict[str, Tensor]], None], named: str
) -> None:
    change(weights)
    torch.save(weights, tmp_path / "other.pth")
    network = Denoiser(2, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(SetupError, match=named):
        network.load_published(tmp_path / "other.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_deeper_networks_file_is_refused(tmp_path: Path) -> None:
    torch.save(random_weights(2, 3), tmp_path / "deeper.pth")
    with pytest.raises(SetupError, match=r"body\.0\.body\.2\.SA\.spatial\.conv\.weight"):
        Denoiser(2, 2).load_published(tmp_path / "deeper.pth")
    torch.save({"model": Path}, tmp_path / "object.pth")
    with pytest.raises(SetupError, match=r"object\.pth"):
        Denoiser(2, 2).load_published(tmp_path / "object.pth")


def test_a_training_step_keeps_the_prelus_tied(weights: dict[str, Tensor]) -> None:
    network = Denoiser(1, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    slopes = [
        value
        for name, value in network.state_dict().items()
        if value.shape == (64,) and name[-6:] == "weight"
    ]
    assert len(slopes) == 3
    assert not torch.equal(slopes[0], torch.full((64,), 0.25))
    assert all(torch.equal(slope, slopes[0]) for slope in slopes)


@pytest.mark.parametrize("size", SIZES)
def test_the_student_is_small_and_takes_any_size(size: tuple[int, int]) -> None:
    student = Student()
    assert sum(parameter.numel() for parameter in student.parameters()) == 48_003
    with torch.inference_mode():
        assert student(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_the_student_treats_every_place_alike() -> None:
    """Shifting the image shifts the pattern: nothing in it has a period of its own."""
    torch.manual_seed(0)
    student = Student().double()
    images = torch.rand(1, 3, 60, 60, dtype=torch.float64)
    with torch.inference_mode():
        whole, part = student(images), student(images[..., 1:, 3:])
    inner = (..., slice(20, -20), slice(20, -20))
    assert torch.allclose(whole[..., 1:, 3:][inner], part[inner], atol=1e-12)
    assert float(part[inner].std()) > 0.01


def test_the_published_form_is_what_uint8_arithmetic_gives() -> None:
    random = np.random.default_rng(0)
    pattern = random.normal(0, 0.3, (2, 3, 9, 5)).astype(np.float32)
    pattern[0, 0, 0] = [-0.0, 0.4999 / 255, 0.5001 / 255, 1, 7]
    wanted = np.empty_like(pattern)
    for image, out in zip(pattern, wanted, strict=True):
        stored = np.rint(np.clip(image.transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)
        stored = stored * np.uint8(255)  # NumPy wraps
        assert stored.dtype == np.uint8
        read = stored[..., ::-1] / np.float32(255)  # written as blue, green, red
        out[:] = ((read - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    given = torch.from_numpy(pattern)
    np.testing.assert_allclose(published_pattern(given).numpy(), wanted, atol=1e-6)
    assert torch.equal(Pattern(nn.Identity(), "published")(given), published_pattern(given))
    assert torch.equal(Pattern(nn.Identity())(given), given)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="not 0 of 8"):
        Denoiser(0)
    with pytest.raises(ValueError, match="'raw' or 'published', not 'png'"):
        Pattern(Student(), "png")  # type: ignore[arg-type]
