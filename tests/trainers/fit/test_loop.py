"""A stopped run ends like one that was not; schedules, early stopping and logs do what they say."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.tables import read_csv
from torch import Tensor, nn

from assay.engine.errors import SetupError
from assay.trainers.data.dataset import Batch
from assay.trainers.fit import checkpoint
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import BEST, LAST, LOG, UNREADABLE
from assay.trainers.fit.schedule import Cosine, Plateau
from assay.trainers.fit.settings import FitSettings

STEPS = 5


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Flatten(), nn.LazyLinear(1)
    )


def batches(epoch: int) -> Iterable[Batch]:
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        labels = torch.tensor([0.0, 1.0] * 4)
        noise = torch.randn(8, 3, 6, 6, generator=generator)
        yield Batch(noise + labels.view(-1, 1, 1, 1), labels)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    return binary_cross_entropy(model(batch.images), batch.labels)


def validate(model: nn.Module) -> Mapping[str, float]:
    assert not model.training
    with torch.no_grad():
        return {"accuracy": -float(loss(model, next(iter(batches(999)))))}


def make(folder: Path, **settings: object) -> Fit:
    folder.mkdir(exist_ok=True)
    model = network()
    model(torch.zeros(2, 3, 6, 6))
    chosen = FitSettings(**{"epochs": 4, "lr": 1e-2, **settings})  # type: ignore[arg-type]
    return Fit(
        model, batches=batches, steps=STEPS, loss=loss, validate=validate, settings=chosen, folder=folder
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "cosine", "ema_decay": 0.9},
        {"schedule": "plateau", "patience": 1, "weight_decay": 0.1, "precision": "bf16"},
    ],
    ids=["cosine", "plateau"],
)
def test_resuming_is_exact(tmp_path: Path, settings: dict[str, object]) -> None:
    whole = make(tmp_path / "whole", **settings)
    whole.run()

    first = make(tmp_path / "parts", **settings)
    validated = first.validate
    calls = 0

    def interrupted(model: nn.Module) -> Mapping[str, float]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return validated(model)

    first.validate = interrupted
    with pytest.raises(KeyboardInterrupt):
        first.run()
    with (tmp_path / "parts" / LOG).open("a") as log:
        log.write("3,a row that a crash left before the checkpoint was written\n")
    torch.manual_seed(77)  # whatever happened in between
    second = make(tmp_path / "parts", **settings)
    second.resume()
    assert second.state.epoch == 2
    second.run()

    for one, other in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for name in (LAST, BEST):
        one, other = (checkpoint.load_state(tmp_path / part / name) for part in ("whole", "parts"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    logs = [read_csv(tmp_path / part / LOG) for part in ("whole", "parts")]
    for row in (row for log in logs for row in log):
        del row["images_per_second"]
    assert logs[0] == logs[1]
    assert [row["epoch"] for row in logs[0]] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("settings", [{"schedule": "plateau", "patience": 1, "min_delta": 1e9, "lr": 1e-6}])
def test_a_run_that_stopped_by_itself_goes_on_when_it_is_extended(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    first = make(tmp_path, epochs=6, **settings)
    assert first.run().stopped
    done = first.state.epoch
    longer = make(tmp_path, epochs=done + 1, **settings)
    longer.resume(extended=True)
    assert longer.run().epoch == done + 1


def test_an_extended_cosine_falls_to_zero_at_its_own_end(tmp_path: Path) -> None:
    make(tmp_path, epochs=2, schedule="cosine").run()
    longer = make(tmp_path, epochs=4, schedule="cosine")
    longer.resume(extended=True)
    longer.run()
    rates = [float(row["lr"]) for row in read_csv(tmp_path / LOG)]
    assert rates[2:] == pytest.approx([Cosine(1e-2, 5, 4 * STEPS).at(step) for step in (14, 19)])
    assert rates[2] > rates[3] > 0


def test_it_learns_and_keeps_the_best(tmp_path: Path) -> None:
    fit = make(tmp_path, epochs=8)
    done = fit.run()
    assert done.best > -0.4  # chance is -0.69
    figures = [float(row["accuracy"]) for row in read_csv(tmp_path / LOG)]
    best = make(tmp_path)
    best.model.load_state_dict(checkpoint.load_state(tmp_path / BEST))
    assert validate(best.model.eval())["accuracy"] == pytest.approx(figures[done.best_epoch - 1])


def test_the_mean_of_weights_is_what_is_kept(tmp_path: Path) -> None:
    fit = make(tmp_path, ema_decay=0.5, epochs=1)
    start = {name: value.clone() for name, value in fit.model.named_parameters()}
    fit.run()
    kept = checkpoint.load_state(tmp_path / LAST)
    for name, value in fit.model.named_parameters():
        assert not torch.equal(kept[name], value)
        assert (kept[name] - start[name]).norm() < (value - start[name]).norm()


def test_plateau_divides_until_the_floor() -> None:
    plateau = Plateau(1e-4, patience=2)
    rates, stops = [], []
    for improved in [True, False, False, False, True, False, False, False, False]:
        stops.append(plateau.step(improved))
        rates.append(plateau.lr)
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-5, 1e-5, 1e-6, 1e-6, 1e-6])
    assert stops == [False] * 8 + [True]


def test_cosine_rises_and_falls_to_zero() -> None:
    rates = [Cosine(1.0, patience=0, steps=100).at(step) for step in range(101)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(one >= other for one, other in pairwise(rates[4:]))
    assert rates[100] == pytest.approx(0)
    assert Cosine(1.0, patience=0, steps=100).step(improved=False) is False


def test_patience_stops(tmp_path: Path) -> None:
    fit = make(tmp_path, epochs=50, schedule="cosine", patience=3, min_delta=1e9)
    assert fit.run().epoch == 4


def test_unreadable_files_are_listed_and_nothing_readable_is_an_error(tmp_path: Path) -> None:
    bad = Batch(torch.empty(0, 3, 1, 1), torch.empty(0), (tmp_path / "bad.jpg",))
    fit = make(tmp_path, epochs=1)
    fit.batches = lambda epoch: [bad, *batches(epoch)]
    fit.run()
    assert (tmp_path / UNREADABLE).read_text() == f"{tmp_path / 'bad.jpg'}\n"
    fit = make(tmp_path, epochs=1)
    fit.batches = lambda epoch: [bad]
    with pytest.raises(SetupError, match="1 files were tried"):
        fit.run()


def test_a_resume_without_a_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        make(tmp_path).resume()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_against_the_definition(smoothing: float) -> None:
    logits, labels = torch.tensor([[3.0], [-2.0], [0.5]]), torch.tensor([1.0, 0.0, 0.0])
    chance = torch.sigmoid(logits.double().squeeze(1))
    targets = labels.double() * (1 - smoothing) + smoothing / 2
    wanted = -(targets * chance.log() + (1 - targets) * (1 - chance).log()).mean()
    assert float(binary_cross_entropy(logits, labels, smoothing)) == pytest.approx(float(wanted), rel=1e-6)
