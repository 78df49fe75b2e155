"""The benchmark of a GPU's worker without a GPU: real processes, and a device that is asked once a batch."""

import re

import pytest

pytest.importorskip("cupy")

from assay.bench import gpu_worker
from assay.engine.bundle import DEFAULT, find
from assay.engine.load.images import made
from assay.engine.settings import Settings

SETTINGS = Settings(devices=(0,))


def test_the_table_has_the_whole_process_and_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    gpu_worker.main(batch=4, batches=3, rounds=1)
    said = capsys.readouterr().out
    figures = {name.strip(): float(value) for name, value in re.findall(r"\| (.+?) \| ([\d.]+) \|", said)}
    assert figures["us of CPU an image, whole process"] > 0
    assert sum(name.startswith("us of it") for name in figures) == 4


def test_a_larger_batch_asks_the_device_no_more_often() -> None:
    bundle = find(DEFAULT)
    asked = []
    for count in (2, 16):
        batch = gpu_worker.tickets(made(2) * (count // 2), bundle)
        found = gpu_worker.parts(bundle, SETTINGS, batch, 1)
        asked.append({name: value for name, value in found.items() if name.startswith("calls")})
    assert asked[0] == asked[1]
    assert sum(asked[0].values()) < 20
