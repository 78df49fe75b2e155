"""Each baseline against a calculation by hand of what is its own; trained, exported, served and compared."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from support.command import assay
from support.photos import write_tree
from support.tables import read_csv
from torchvision.models import efficientnet_b4, resnet18, resnet34, resnet50, swin_t

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.trainers.data.samples import of_split, read_samples
from assay.trainers.evaluate.score import score, torch_graph
from assay.trainers.export.bundle import graphs_of
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.baseline.dct_cnn import DctCnn, Standardise
from assay.trainers.kinds.baseline.f3net import Decomposition, F3Net, Mix, Statistics
from assay.trainers.kinds.baseline.fit import BASELINES, trained
from assay.trainers.kinds.baseline.gramnet import GramNet, Texture
from assay.trainers.kinds.baseline.lgrad import LGrad
from assay.trainers.kinds.baseline.run import Name
from assay.trainers.kinds.baseline.sia import attended, self_information
from assay.trainers.kinds.baseline.spec import Spec
from assay.trainers.study.method import method_of


def images(count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((count, 3, size, size), np.float32))


def test_the_spectra_of_spec_are_those_of_its_code() -> None:
    given = images(2, 64)
    wanted = np.log(np.abs(np.fft.fft2(given.double().numpy())) + 1e-3)
    low, high = (np.percentile(wanted, share, axis=(2, 3), keepdims=True) for share in (5, 95))
    wanted = np.clip(2 * (wanted - low) / (high - low) - 1, -1, 1)
    found = Spec(64).spectra(given).numpy()
    assert np.abs(found - wanted).max() < 2e-3
    assert (Spec(64).spectra(torch.full((1, 3, 64, 64), 0.3)).isfinite()).all()


def test_the_coefficients_of_dct_cnn_are_those_of_its_code() -> None:
    given = images(2, 32)
    wanted = np.log(np.abs(dctn(255 * given.double().numpy(), axes=(2, 3), norm="ortho")) + 1e-12)
    found = DctCnn(32).coefficients(given).numpy()
    assert np.abs(found - wanted).max() < 1e-2  # the logarithm of a coefficient near 0
    assert np.abs(found - wanted).mean() < 1e-5


def test_values_are_standardised_by_all_that_was_seen() -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(3, 5, (60, 2)).astype(np.float32))
    layer = Standardise(2)
    for batch in values.split((7, 13, 20, 20)):
        layer(batch)
    found = layer.eval()(values)
    assert torch.allclose(found.mean(dim=0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(found.std(dim=0, correction=0), torch.ones(2), atol=1e-4)
    assert torch.equal(layer(values), found)  # judging changes nothing


def test_a_texture_is_made_of_how_alike_maps_are() -> None:
    torch.manual_seed(0)
    texture, seen = Texture(3).eval(), images(1, 16)
    maps = texture.maps(seen)[0]
    gram = torch.einsum("ixy,jxy->ij", maps, maps) / (32 * 16 * 16)
    assert torch.allclose(texture(seen)[0], texture.alike(gram[None, None])[0].mean(dim=(1, 2)), atol=1e-6)
    turned = texture.maps(seen).flatten(2)[:, :, torch.randperm(256)].view(1, 32, 16, 16)
    texture.maps = torch.nn.Identity()
    assert torch.allclose(texture(turned), texture(maps[None]), atol=1e-6)  # wherever they are so
    assert GramNet(32).head[0].in_features == 704


def squashed(values: torch.Tensor) -> NDArray[np.float64]:
    """The paper's formula: (1 - exp(-x)) / (1 + exp(-x))."""
    found = np.exp(-values.detach().double().numpy())
    squeezed: NDArray[np.float64] = (1 - found) / (1 + found)
    return squeezed


def test_f3net_takes_an_image_apart_by_bands() -> None:
    torch.manual_seed(0)
    size, given = 64, images(2, 64)
    layer = Decomposition(size)
    order = np.add.outer(np.arange(size), np.arange(size))
    edges = (0, size / np.sqrt(8), size / 2, 2 * size)
    shares = [float(((order >= low) & (order < high)).mean()) for low, high in pairwise(edges)]
    assert shares == pytest.approx([1 / 16, 1 / 16, 7 / 8], abs=0.02)
    coefficients, wanted = dctn(given.double().numpy(), axes=(2, 3), norm="ortho"), []
    for low, high, learnt in zip(edges[:-1], edges[1:], squashed(layer.learnt), strict=True):
        filtered = coefficients * (((order >= low) & (order < high)) + learnt)
        wanted.append(idctn(filtered, axes=(2, 3), norm="ortho"))
    assert np.abs(layer(given).detach().numpy() - np.concatenate(wanted, axis=1)).max() < 1e-4
    with torch.no_grad():
        layer.learnt.zero_()
    assert torch.allclose(layer(given).unflatten(1, (3, 3)).sum(dim=1), given, atol=1e-5)


def test_the_statistics_of_f3net_are_those_of_each_window() -> None:
    torch.manual_seed(0)
    given, layer = images(1, 32), Statistics()
    wide = np.pad(given[0].double().numpy(), ((0, 0), (4, 4), (4, 4)))
    gains = squashed(layer.learnt).reshape(6, 10, 10)
    for row in range(10):
        for column in range(10):
            gains[(row + column) * 6 // 19, row, column] += 1
    found = layer(given)[0].detach().numpy()
    assert found.shape == (6, 16, 16)
    for top, left in ((0, 0), (3, 15), (8, 8), (15, 2)):
        window = wide[:, 2 * top : 2 * top + 10, 2 * left : 2 * left + 10]
        held = np.abs(dctn(window, axes=(1, 2), norm="ortho") * gains[:, None]).sum(axis=(1, 2, 3))
        assert found[:, top, left] == pytest.approx(np.log10(held), abs=1e-4)


def test_streams_of_f3net_are_mixed_only_as_far_as_they_have_learnt_to_be() -> None:
    torch.manual_seed(0)
    mix, one, other = Mix(4).eval(), torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        mix.share.copy_(torch.tensor([0.5, -0.3]))
        first, second = mix(one, other)
        keys = torch.einsum("bcik,bcjk->bcij", mix.query(one), mix.key(other)).softmax(dim=3)
        assert torch.allclose(first, one + mix.into[0](keys * other * np.tanh(0.5)), atol=1e-5)
        assert torch.allclose(second, other + mix.into[1](keys * one * np.tanh(-0.3)), atol=1e-5)


def test_f3net_begins_as_the_network_of_its_weights_on_each_band(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = resnet50(weights=None).state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    network = F3Net(32)
    network.load_backbone(tmp_path / "weights.pth")
    for stream in (network.decomposed, network.local):
        assert torch.equal(stream.layer4[2].conv3.weight, weights["layer4.2.conv3.weight"])
    with torch.no_grad():
        network.decomposition.learnt.zero_()
        given = images(1, 32)
        wanted = torch.nn.functional.conv2d(given, weights["conv1.weight"], stride=2, padding=3)
        assert torch.allclose(network.decomposed.conv1(network.decomposition(given)), wanted, atol=1e-4)
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(SetupError, match="does not fit this network: it lacks"):
        network.load_backbone(tmp_path / "other.pth")


def test_self_information_is_how_unlikely_a_value_is_beside_its_neighbours() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 7, 5, 4))
    wide = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    wanted = np.zeros_like(maps)
    for image in range(2):
        near, between = np.zeros((8, 7, 5, 4)), np.zeros((5, 7, 5, 4))
        for channel, row, column in np.ndindex(7, 5, 4):
            value = maps[image, channel, row, column]
            around = np.delete(wide[image, channel, row : row + 3, column : column + 3].flatten(), 4)
            near[:, channel, row, column] = (value - around) ** 2
            others = [maps[image, (channel + step) % 7, row, column] for step in range(1, 6)]
            between[:, channel, row, column] = (value - np.array(others)) ** 2
        for distances, weight in ((near, 1.0), (between, 0.5)):
            wanted[image] -= weight * np.log(np.exp(-distances / (2 * distances.mean())).mean(axis=0))
    found = self_information(torch.from_numpy(maps).float())
    assert np.abs(found.numpy() - wanted).max() < 1e-5
    weighed, information = attended(torch.from_numpy(maps).float())
    channel = 1 + wanted.mean(axis=(2, 3), keepdims=True)
    assert np.abs(weighed.numpy() - maps * (1 + 1 / (1 + np.exp(-wanted))) * channel).max() < 1e-4
    assert torch.equal(information, found)
    alone = self_information(torch.from_numpy(maps[:1]).float())
    assert torch.allclose(alone, found[:1], atol=1e-6)  # whatever else is in the batch
    flat = self_information(torch.full((1, 7, 4, 4), 0.7))
    assert torch.equal(flat, torch.zeros_like(flat))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folders = [f"{split}/gan/{label}" for split in ("train", "val", "test") for label in ("0_real", "1_fake")]
    return write_tree(tmp_path_factory.mktemp("data"), dict.fromkeys(folders, 2), side=64)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.full] * (name != "dct_cnn"))
        for name in BASELINES
        if name != "lgrad"
    ],
)
def test_a_baseline_is_trained_exported_and_compared(name: Name, data: Path, tmp_path: Path) -> None:
    run, made = tmp_path / "run", tmp_path / "bundle"
    options = ("--size", 32, "--batch", 4, "--epochs", 1, "--workers", 0)
    assay("train", "baseline", name, "--data", data, "--out", run, *options)
    assay("export", run, made, "--name", name.replace("_", "-"), "--crops", "five")
    bundle = Bundle.load(made)
    assert bundle.kind == "plain"
    assert bundle.manifest.trained_on["name"] == name
    samples = of_split(read_samples(data), "test")
    served = score(samples, bundle.manifest, graphs_of(bundle)).logits
    _, network = trained(run)
    wanted = score(samples, bundle.manifest, {"classify": torch_graph(network)}).logits
    assert served == pytest.approx(wanted, abs=2e-3)
    methods = (f"run={run}", f"bundle={made}")
    assay("study", "generators", *methods, "--data", data, "--out", tmp_path / "out")
    assert [row["method"] for row in read_csv(tmp_path / "out/generators.csv")] == ["run", "bundle"]


@pytest.mark.parametrize(
    ("name", "network"),
    [("spec", resnet34), ("gramnet", resnet18), ("swin_t", swin_t), ("sia", efficientnet_b4)],
)
def test_imagenet_weights_are_read(name: Name, network: type, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = network(weights=None).state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    baseline = BASELINES[name](32)
    baseline.load_backbone(tmp_path / "weights.pth")
    own = baseline.get_submodule("network").state_dict()
    same = [key for key in weights if key in own and torch.equal(own[key], weights[key])]
    assert len(same) >= len(weights) - 2
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(SetupError, match="does not fit this network: it lacks"):
        baseline.load_backbone(tmp_path / "other.pth")


def test_a_network_without_a_backbone_says_so(data: Path, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "weights.pth")
    given = ("--data", data, "--out", tmp_path / "run", "--weights", tmp_path / "weights.pth")
    with pytest.raises(SetupError, match="trained from random weights alone; leave --weights out"):
        assay("train", "baseline", "dct_cnn", *given)


def test_gradients_are_those_of_the_network_that_is_given(data: Path, tmp_path: Path) -> None:
    light = ("--size", 32, "--batch", 4, "--epochs", 1, "--workers", 0)
    given = ("--data", data, "--out")
    assay("train", "plain", *given, tmp_path / "other", "--backbone", "patch_forensics", *light)
    command = ("train", "baseline", "lgrad", *given, tmp_path / "run", *light)
    with pytest.raises(SetupError, match="--transform RUN belongs to lgrad, which needs it"):
        assay(*command)
    assay(*command, "--transform", tmp_path / "other")
    run, network = trained(tmp_path / "run")
    assert isinstance(network, LGrad)
    other = load_state(tmp_path / "other/best.pt")
    kept = network.transform.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in other.items())  # its statistics, too

    views = images(2, 32)
    small = views[:1].double().requires_grad_()
    network.double()
    network.transform(small).sum().backward()
    assert small.grad is not None
    wanted = (small.grad - small.grad.min()) / (small.grad.max() - small.grad.min())
    found = network.gradients(views.double())[:1]
    mean, std = (torch.tensor(three).view(3, 1, 1) for three in (network.mean, network.std))
    assert torch.allclose(found * std + mean, wanted, atol=1e-5)
    scores = method_of(f"lgrad={tmp_path / 'run'}").score(of_split(read_samples(data), "test"), None)
    assert np.isfinite(scores.logits).all()
    assay("train", "baseline", "lgrad", *given, tmp_path / "run", "--resume", "--epochs", 2, "--workers", 0)
    with pytest.raises(SetupError, match="which no graph holds: judge the run"):
        assay("export", tmp_path / "run", tmp_path / "bundle", "--name", "lgrad")
    assert run.transform == "patch_forensics"
