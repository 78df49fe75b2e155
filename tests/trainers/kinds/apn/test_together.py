"""Two processes that train `apn` together take the steps of one that computes them in two parts."""

from pathlib import Path

import pytest
import torch
from support.apn_networks import small_run, tiny_trunks
from support.photos import write_tree
from support.tables import read_csv
from support.torchrun import torchrun
from torch import Tensor

from assay.trainers.fit import checkpoint
from assay.trainers.fit.run import LAST, LOG
from assay.trainers.kinds.apn.fit import make_fit
from assay.trainers.kinds.apn.run import ApnFit

RATE, EPOCHS = 1e-3, 2


def fitted(data: Path, folder: Path, parts: int) -> None:
    """A run of two steps an epoch; the process of a number other than 0 leaves its weights beside the run."""
    run = small_run(
        data,
        masks="soft",
        objective="published",
        recipe="cnn_aug",
        fit=ApnFit(epochs=EPOCHS, lr=RATE, accumulate=parts),
    )
    folder.mkdir(exist_ok=True)
    with tiny_trunks():
        fit = make_fit(run, folder, {}, workers=0)
        fit.run()
    assert fit.state.step == EPOCHS * 2
    if not fit.rank.first:
        torch.save({**fit.model.state_dict(), **club_of(fit.club.state_dict())}, folder / "second.pt")


def club_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"club.{name}": value for name, value in state.items()}


def weights(folder: Path) -> dict[str, Tensor]:
    """Of both networks, without the statistics of batches, which follow from one process's part alone."""
    state = checkpoint.load(folder / LAST)
    both = {**state["network"], **club_of(state["club"]["network"])}
    return {name: value for name, value in both.items() if "running" not in name and "tracked" not in name}


@pytest.mark.full
@pytest.mark.timeout(280)
def test_two_processes_make_the_steps_of_two_parts(tmp_path: Path) -> None:
    folders = ("train/real", "train/fake", "val/real", "val/fake")
    data = write_tree(tmp_path / "data", dict.fromkeys(folders, 4), side=40)
    fitted(data, tmp_path / "alone", parts=2)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from test_together import fitted\n"
        "fitted(Path(sys.argv[1]), Path(sys.argv[2]), parts=1)\n"
    )
    torchrun(tmp_path, program, data, tmp_path / "together", near=Path(__file__).parent)
    alone, together = weights(tmp_path / "alone"), weights(tmp_path / "together")
    second = torch.load(tmp_path / "together/second.pt", weights_only=True)
    for name, value in together.items():
        assert torch.equal(value, second[name]), name
    # Adam makes a step of a gradient that is rounding alone, so a few weights may differ by a whole one.
    apart = torch.cat([(alone[name] - value).abs().flatten() for name, value in together.items()])
    assert apart.max() <= 2.1 * RATE * EPOCHS * 2
    assert (apart < 0.01 * RATE).float().mean() > 0.995
    assert [row["epoch"] for row in read_csv(tmp_path / "together" / LOG)] == ["1", "2"]
