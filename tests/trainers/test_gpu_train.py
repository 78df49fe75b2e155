"""The training part of `make gpu`, with small networks on the CPU: each kind steps, a failure is told."""

from pathlib import Path

import pytest
from support.apn_networks import tiny_trunks

from assay.bench import gpu_train
from assay.bench.gpu_train import FULL, Trial, main

TINY = {
    "plain": Trial(4, {"backbone": "patch_forensics", "size": 32}),
    "fusing": Trial(4, {"backbone": "resnet18", "crop": 32}),
    "apn": Trial(4, {"proposals": 2, "spatial": "resnet18", "frequency": "resnet18", "size": 32}),
    "lnp": Trial(4, {"size": 32}),
}


def test_each_kind_trains_and_has_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TINY.keys() == FULL.keys()
    monkeypatch.setattr(gpu_train, "FULL", TINY)
    with tiny_trunks(), pytest.raises(SystemExit) as end:
        main("cpu")
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[2:]]
    assert [row[0] for row in rows] == list(TINY)
    assert all(float(loss) > 0 and float(rate) > 0 for _, _, loss, rate in rows)


@pytest.mark.parametrize("order", [("bad", "good"), ("good", "bad")])
def test_a_kind_that_fails_leaves_the_others(
    order: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(kind: str, trial: Trial, folder: Path, device: str) -> str:
        if kind == "bad":
            raise RuntimeError("CUDA error:\nno kernel image")
        return f"| {kind} | trained on {device} |"

    monkeypatch.setattr(gpu_train, "train", train)
    monkeypatch.setattr(gpu_train, "FULL", dict.fromkeys(order, TINY["plain"]))
    with pytest.raises(SystemExit) as end:
        main("cpu")
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "| good | trained on cpu |" in said
    assert "| bad | 4 | CUDA error: no kernel image | |" in said


def test_what_is_trained_on_a_gpu_is_a_run_of_its_kind(tmp_path: Path) -> None:
    for kind, trial in FULL.items():
        run = gpu_train.KINDS[kind].run(kind=kind, data=tmp_path, batch=trial.batch, **trial.fields)
        assert run.kind == kind
