"""The losses of the purification network against their equations, and which parameters each reaches."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.apn_networks import pictures, tiny_trunks
from torch import Tensor, nn

from assay.trainers.kinds.apn.club import Club
from assay.trainers.kinds.apn.losses import (
    OBJECTIVES,
    Objective,
    bands_beyond,
    features,
    losses,
    overlap,
    reversed_bands,
)
from assay.trainers.kinds.apn.network import APN, Output

PAPER, PUBLISHED = OBJECTIVES["paper"], OBJECTIVES["published"]
LABELS = torch.tensor([0.0, 1.0, 1.0])


def output(proposals: int = 4, batch: int = 3) -> Output:
    """An output of random numbers, in float64."""
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=random, dtype=torch.float64)

    logits = [draw(2) for _ in range(3)]
    parts = [draw(256) for _ in range(4)]
    bands = [draw(3, proposals, 4) * 0.5 + 0.6 for _ in range(2)]
    return Output(*logits, *parts, *bands, draw(proposals).sigmoid())


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    rows = [row.exp() / row.exp().sum() for row in logits]
    return -sum(math.log(row[int(label)]) for row, label in zip(rows, labels, strict=True)) / len(labels)


def ends(found: Output) -> Iterator[tuple[float, float]]:
    """(start, end) of every band of every image: amplitude, phase, colours, proposals, rows, columns."""
    for bands in (found.amplitude_bands, found.phase_bands):
        for row_start, row_end, column_start, column_end in bands.reshape(-1, 4).tolist():
            yield row_start, row_end
            yield column_start, column_end


def values(objective: Objective, network: APN, found: Output) -> dict[str, float]:
    club = Club().double()
    return {
        name: float(value.detach())
        for name, value in vars(losses(found, LABELS, network, club, objective)).items()
    }


@pytest.fixture(scope="module")
def network() -> APN:
    torch.manual_seed(0)
    with tiny_trunks():
        network = APN(2, size=32)
    with torch.no_grad():
        network.spatial.basis.relevant += 0.1 * torch.randn(128, 256)
        network.spatial.basis.irrelevant += 0.1 * torch.randn(128, 256)
    return network


@pytest.mark.parametrize("name", ["paper", "published", "shipped"])
def test_values_are_those_of_the_equations(network: APN, name: Any) -> None:
    found, objective = output(), OBJECTIVES[name]
    got = values(objective, network, found)
    assert got["ce"] == pytest.approx(cross_entropy(found.logits, LABELS))
    both = cross_entropy(found.logits_frequency, LABELS) + cross_entropy(found.logits_spatial, LABELS)
    assert got["branches"] == pytest.approx(both)
    squares = sum(
        (one[d] - other[d]) ** 2
        for first, second in (
            (found.relevant_frequency, found.relevant_spatial),
            (found.irrelevant_frequency, found.irrelevant_spatial),
        )
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
        for d in range(256)
    )
    assert got["align"] == pytest.approx(squares / (256 * 3))
    pairs = list(ends(found))
    assert got["band"] == pytest.approx(sum(max(-(end - start - 0.01), 0) for start, end in pairs) / 3)
    assert got["beyond"] == pytest.approx(
        sum(max(start - 1, 0) + max(end - 1, 0) for start, end in pairs) / 3
    )
    basis = network.spatial.basis
    products = []
    for one, other in itertools.product(basis.relevant.detach()[:128], basis.irrelevant.detach()):
        length = float(one.norm() * other.norm()) if name == "published" else 1.0
        products.append(abs(float(one @ other)) / length)
    assert got["basis"] == pytest.approx(sum(products) / 128**2, rel=1e-4)


def test_totals_weigh_the_parts(network: APN) -> None:
    club = Club().double()
    parts = losses(output(), LABELS, network, club, PAPER)
    expected = parts.ce + parts.align + parts.band + parts.basis + parts.mi
    assert float(parts.total(PAPER).detach()) == pytest.approx(float(expected.detach()))
    parts = losses(output(), LABELS, network, club, PUBLISHED)
    expected = parts.ce + parts.branches + 256 * parts.align + parts.band + parts.beyond + parts.mi
    assert float(parts.total(PUBLISHED).detach()) == pytest.approx(
        float((expected + 128 * 128 * parts.basis).detach())
    )


def test_a_floored_bound_stays_above_zero_and_pulls_no_further(network: APN) -> None:
    """Features that turn away from what the estimator expects lower the bound, the longer the lower."""
    club, found = Club().double(), output()
    expected = club(features(found)[0])[0].detach()
    below = (-expected).requires_grad_()
    for relevant, sign in ((expected, 1), (below, -1)):
        turned = replace(found, relevant_frequency=relevant, relevant_spatial=relevant)
        free = losses(turned, LABELS, network, club, PAPER).mi
        floored = losses(turned, LABELS, network, club, OBJECTIVES["shipped"]).mi
        assert float(free.detach()) * sign > 0
        assert float(floored.detach()) == max(float(free.detach()), 0)
    floored.backward()
    assert below.grad is not None
    assert not below.grad.any()
    farther = replace(found, relevant_frequency=10 * below, relevant_spatial=10 * below)
    assert losses(farther, LABELS, network, club, PAPER).mi < 5 * free < 0


def test_a_band_in_order_costs_nothing_and_a_reversed_one_is_turned() -> None:
    assert float(reversed_bands(torch.tensor([[[[0.1, 0.2, 0.3, 0.31001]]]]))) == 0
    bands = torch.tensor([[[[0.5, 0.2, 0.3, 0.4]]]], requires_grad=True)
    loss = reversed_bands(bands)
    assert loss.tolist() == pytest.approx([0.31])
    loss.sum().backward()
    assert bands.grad is not None
    assert bands.grad.flatten().tolist() == [1, -1, 0, 0]  # descent moves the start down, the end up
    assert float(bands_beyond(torch.tensor([[[[0.9, 1.2, 1.5, 1.0]]]]))) == pytest.approx(0.7)


def test_the_bases_begin_orthogonal() -> None:
    with tiny_trunks():
        basis = APN(1, size=32).spatial.basis
    assert torch.equal(basis.relevant, torch.cat([torch.eye(128), torch.zeros(128, 128)], dim=1))
    assert torch.equal(basis.irrelevant, torch.cat([torch.zeros(128, 128), torch.eye(128)], dim=1))
    assert not overlap(basis.relevant, basis.irrelevant).detach()


def density(y: Tensor, mean: Tensor, log_variance: Tensor) -> float:
    """log of the Gaussian density, component by component."""
    return sum(
        -((a - m) ** 2) / (2 * math.exp(v)) - v / 2 - math.log(2 * math.pi) / 2
        for a, m, v in zip(y.tolist(), mean.tolist(), log_variance.tolist(), strict=True)
    )


def test_the_bound_is_equation_7_and_the_loss_equation_8() -> None:
    torch.manual_seed(2)
    club = Club(6).double()
    x, y = torch.randn(5, 6).double(), torch.randn(5, 6).double() * 2
    with torch.no_grad():
        mean, log_variance = club(x)
    assert mean.shape == log_variance.shape == (5, 6)
    own = [density(y[i], mean[i], log_variance[i]) for i in range(5)]
    others = [sum(density(y[j], mean[i], log_variance[i]) for j in range(5)) / 5 for i in range(5)]
    assert float(club.bound(x, y).detach()) == pytest.approx((sum(own) - sum(others)) / 5)
    constant = 6 * math.log(2 * math.pi) / 2
    assert float(club.loss(x, y).detach()) == pytest.approx(-sum(own) / 5 - constant)


def test_the_estimator_has_the_published_layout() -> None:
    names = [
        f"{net}.{layer}.{kind}"
        for net in ("p_mu", "p_logvar")
        for layer in (0, 2)
        for kind in ("weight", "bias")
    ]
    assert list(Club().state_dict()) == names
    assert Club().p_mu[0].weight.shape == (128, 256)


def test_the_bound_tells_dependence_from_independence() -> None:
    """Fitted on pairs of known mutual information, the bound lies above it; on independent ones near 0."""
    torch.manual_seed(3)
    correlation, width = 0.8, 4
    truth = -width / 2 * math.log(1 - correlation**2)
    analytic = width * correlation**2 / (1 - correlation**2)  # of the bound, where q is the true density

    def pairs(r: float) -> tuple[Tensor, Tensor]:
        x, noise = torch.randn(256, width), torch.randn(256, width)
        return x, r * x + math.sqrt(1 - r * r) * noise

    bounds = {}
    for r in (correlation, 0.0):
        club = Club(width)
        club.p_mu, club.p_logvar = (
            nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, width)) for _ in "ab"
        )
        optimizer = torch.optim.Adam(club.parameters(), 0.01)
        for _ in range(400):
            optimizer.zero_grad()
            club.loss(*pairs(r)).backward()
            optimizer.step()
        with torch.no_grad():
            bounds[r] = sum(float(club.bound(*pairs(r))) for _ in range(10)) / 10
    assert bounds[correlation] > truth
    assert bounds[correlation] == pytest.approx(analytic, rel=0.1)
    assert abs(bounds[0.0]) < 0.2


PROPOSERS = {"frequency.amplitude", "frequency.phase"}
RELEVANT = {"frequency.relevant", "frequency.confidence", "spatial.basis.relevant"}
IRRELEVANT = {"frequency.irrelevant", "spatial.basis.irrelevant"}
SPACE = {"spatial.trunk", "spatial.head"}
ALL = PROPOSERS | RELEVANT | IRRELEVANT | SPACE | {"classifier", "club"}
REACHED: dict[str, set[str]] = {
    "ce": RELEVANT | SPACE | {"classifier"},
    "branches": RELEVANT | SPACE | {"classifier"},
    "align": RELEVANT | IRRELEVANT | SPACE,
    "band": PROPOSERS,
    "beyond": PROPOSERS,
    "basis": {"spatial.basis.relevant", "spatial.basis.irrelevant"},
    "mi": RELEVANT | IRRELEVANT | SPACE,
    "club": {"club"},
}
THROUGH_MASKS = {"ce", "branches", "align", "mi"}


class Together(nn.Module):
    """Both networks, so that parameters of either have a name."""

    def __init__(self, masks: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        with tiny_trunks():
            network = APN(2, masks=masks, size=32)
        self.spatial, self.frequency, self.classifier = network.spatial, network.frequency, network.classifier
        self.club = Club()
        self.network = [network]


@pytest.mark.parametrize("masks", ["hard", "soft"])
def test_each_loss_reaches_its_parameters_and_no_others(masks: Any) -> None:
    together = Together(masks)
    network, club = together.network[0], together.club
    with torch.no_grad():  # bands must be wrong for their losses to be more than 0, and vectors must overlap
        for name, parameter in network.named_parameters():
            if name.endswith("head.6.bias"):
                parameter[:2], parameter[2:] = 2.0, -2.0
        network.spatial.basis.relevant += 0.01
    found = network(pictures(3, 32))
    parts: dict[str, Callable[[], Tensor]] = {
        **{
            name: lambda value=value: value
            for name, value in vars(losses(found, LABELS, network, club, PAPER)).items()
        },
        "club": lambda: club.loss(*features(found)),
    }
    assert parts.keys() == REACHED.keys()
    for name, loss in parts.items():
        together.zero_grad()
        loss().backward(retain_graph=True)
        expected = REACHED[name] | (PROPOSERS if masks == "soft" and name in THROUGH_MASKS else set())
        for module in sorted(ALL):
            gradients = [
                parameter.grad
                for full, parameter in together.named_parameters()
                if full.startswith((module + ".", module)) and (full == module or full[len(module)] == ".")
            ]
            assert gradients
            touched = [gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients]
            assert any(touched) == (module in expected), (name, module)
            if module not in expected:
                assert not any(touched), (name, module)
