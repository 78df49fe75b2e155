"""The forms of table 4: each lacks what it should lack, trains what is left, and is judged without engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from support.apn_networks import pictures, small_run, tiny_trunks
from support.photos import write_tree
from torch import Tensor, nn

from assay.engine.errors import SetupError
from assay.trainers.data.samples import read_samples
from assay.trainers.export.options import ExportOptions
from assay.trainers.kinds.apn import ablation
from assay.trainers.kinds.apn.ablation import Ablated
from assay.trainers.kinds.apn.club import Club
from assay.trainers.kinds.apn.fit import export_run, make_fit, network_of, objective_of, scored_by, trained
from assay.trainers.kinds.apn.losses import OBJECTIVES, losses
from assay.trainers.kinds.apn.run import WHOLE, Form
from assay.trainers.study.method import method_of

FORMS: tuple[Form, ...] = tuple(form for form in get_args(Form) if form not in WHOLE)
BRANCHES = {
    "no_explicit": {"spatial", "classifier"},
    "frequency": {"frequency", "spatial", "classifier"},  # of the spatial one the unused vectors are left
    "space": {"spatial", "classifier"},
    "spectra": {"spatial", "spectra", "classifier"},
    "split": {"spatial", "frequency", "classifier"},
}


class Tiny(nn.Module):
    """In the place of a ResNet-50, whose first layer is exchanged."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.conv1 = nn.Identity()
        self.fc = nn.Linear(64, 256)

    def forward(self, planes: Tensor) -> Tensor:
        feature: Tensor = self.fc(self.conv1(planes).mean(dim=(2, 3)))
        return feature


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with tiny_trunks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "resnet50", Tiny)
        yield


def step(network: Ablated) -> tuple[Any, Any]:
    torch.manual_seed(1)
    output = network(pictures(4, 32))
    found = losses(output, torch.tensor([0.0, 1.0, 0.0, 1.0]), network, Club(), OBJECTIVES["paper"])
    found.total(OBJECTIVES["paper"]).backward()
    return output, {name: float(value.detach()) for name, value in vars(found).items()}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_its_parts_and_trains_them(form: Form) -> None:
    torch.manual_seed(0)
    network = Ablated(form, 2, "resnet18", "resnet18", size=32)
    assert {name for name, _ in network.named_children()} == BRANCHES[form]
    output, found = step(network.train())
    for name, value in network.named_parameters():
        assert (value.grad is not None) == value.requires_grad, name
    assert (output.confidence.shape[1] > 0) == (form in ("frequency", "split"))
    assert found["basis"] == 0 or form in ("space", "spectra")
    alone = form in ("no_explicit", "frequency", "space")
    assert (found["align"] == 0) == alone
    assert (found["band"] == 0) == (form not in ("frequency", "split"))
    assert output.relevant_spatial.shape == output.irrelevant_frequency.shape == (4, 256)
    assert not torch.equal(output.relevant_spatial, output.irrelevant_spatial)


def test_a_split_feature_shares_nothing() -> None:
    """Each half of the channels is one part, as wide as a feature is elsewhere."""
    network = Ablated("no_explicit", 2, "resnet18", "resnet18", size=32).eval()
    images = pictures(2, 32)
    feature: Tensor = network.spatial(images)
    assert feature.shape == (2, 512)
    assert torch.equal(network(images).relevant_spatial, feature[:, :256])


def test_without_implicit_purification_only_the_loss_differs(tmp_path: Path) -> None:
    run = small_run(tmp_path, form="no_implicit")
    assert run.served
    assert objective_of(run).mi == 0
    assert not isinstance(network_of(run), Ablated)
    assert objective_of(small_run(tmp_path, form="whole")) == OBJECTIVES["paper"]


def test_an_ablation_is_trained_judged_and_not_exported(tmp_path: Path) -> None:
    data = write_tree(
        tmp_path / "data", dict.fromkeys(("train/real", "train/fake", "val/real", "val/fake"), 4)
    )
    run, folder = small_run(data, form="split"), tmp_path / "run"
    run.write(folder)
    make_fit(run, folder, {}, workers=0).run()
    _, network = trained(folder)
    samples = read_samples(data)
    scored = scored_by(network, samples)
    assert method_of(f"split={folder}").score(samples, None).logits == pytest.approx(scored.logits)
    assert len(set(scored.logits.tolist())) == len(samples)
    with pytest.raises(SetupError, match="'split' is an ablation"):
        export_run(folder, tmp_path / "b", ExportOptions("n", "1", min_side=32))
