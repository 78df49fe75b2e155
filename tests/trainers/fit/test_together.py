"""Steps in parts and steps of several processes are the steps of one process that has the memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
from support.tables import read_csv
from support.torchrun import torchrun
from torch import Tensor, nn

from assay.trainers.data.dataset import BalancedSampler, Batch
from assay.trainers.data.samples import Sample
from assay.trainers.fit import checkpoint
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import LAST, LOG
from assay.trainers.fit.schedule import FLOOR, Plateau
from assay.trainers.fit.settings import FitSettings

EPOCHS, STEPS, WHOLE = 2, 3, 8


def batches(epoch: int, parts: int = 1, only: int | None = None) -> Iterable[Batch]:
    """STEPS batches of WHOLE images, each in `parts`; `only` one of the parts, or all."""
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        images = torch.randn(WHOLE, 3, 4, 4, generator=generator)
        labels = torch.tensor([0.0, 1.0] * (WHOLE // 2))
        for part in range(parts):
            if only in (None, part):
                size = WHOLE // parts
                chosen = slice(part * size, (part + 1) * size)
                yield Batch(images[chosen], labels[chosen], (Path(f"unreadable-{part}"),))


def loss(model: nn.Module, batch: Batch) -> Tensor:
    return binary_cross_entropy(model(batch.images), batch.labels)


def validate(model: nn.Module) -> Mapping[str, float]:
    with torch.no_grad():
        return {"accuracy": -float(loss(model, next(iter(batches(99)))))}


def fitted(
    folder: Path, *, parts: int = 1, accumulate: int = 1, only: int | None = None
) -> dict[str, Tensor]:
    """The weights after EPOCHS epochs of a network without batch statistics."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 1))
    folder.mkdir(exist_ok=True)
    fit = Fit(
        model,
        batches=lambda epoch: batches(epoch, parts, only),
        steps=STEPS * (parts if only is None else 1),
        loss=loss,
        validate=validate,
        settings=FitSettings(epochs=EPOCHS, lr=1e-2, optimizer="sgd", accumulate=accumulate),
        folder=folder,
    )
    fit.run()
    assert fit.state.step == EPOCHS * STEPS
    assert fit.unreadable == {Path(f"unreadable-{part}") for part in range(parts)}
    return dict(model.state_dict())


def assert_close(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-6), name


def test_parts_add_up_to_the_step(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole")
    assert_close(whole, fitted(tmp_path / "parts", parts=4, accumulate=4))


def test_the_last_parts_of_an_epoch_make_a_step_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fit = Fit(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 1)),
        batches=batches,
        steps=STEPS,
        loss=loss,
        validate=validate,
        settings=FitSettings(epochs=1, accumulate=2),
        folder=tmp_path,
    )
    fit.run()
    assert fit.state.step == 2


@pytest.mark.timeout(180)
def test_two_processes_make_the_same_steps_as_one(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from test_together import fitted\n"
        "fitted(Path(sys.argv[1]), parts=2, only=int(os.environ['RANK']))\n"
    )
    torchrun(tmp_path, program, tmp_path / "shared", near=Path(__file__).parent, timeout=170)
    assert_close(whole, checkpoint.load(tmp_path / "shared" / LAST)["model"])
    assert [row["epoch"] for row in read_csv(tmp_path / "shared" / LOG)] == ["1", "2"]


def test_processes_share_an_epoch_without_overlap_and_each_part_is_balanced() -> None:
    samples = [Sample(Path(str(n)), n % 2, "train", "all", "") for n in range(26)]
    whole = list(BalancedSampler(samples, seed=1, epoch=4))
    shares = [list(BalancedSampler(samples, 1, 4, number, 3)) for number in range(3)]
    assert {len(share) for share in shares} == {len(BalancedSampler(samples, 1, 4, 0, 3))} == {8}
    drawn = [draw for share in shares for draw in share]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) == set(whole[:24])
    for share in shares:
        assert [samples[draw.index].label for draw in share] == [0, 1] * 4


def test_an_endless_plateau_goes_on_at_the_floor() -> None:
    schedule = Plateau(lr=4e-6, patience=1, factor=2, endless=True)
    rates = []
    for _ in range(5):
        assert not schedule.step(improved=False)
        rates.append(schedule.at(0))
    assert rates == pytest.approx([2e-6, FLOOR, FLOOR, FLOOR, FLOOR])
    assert Plateau(lr=FLOOR, patience=1, factor=2).step(improved=False)
