"""The table of bundles on a GPU, with the CPU in its place: a row each, whatever becomes of the others."""

from pathlib import Path

import pytest
from support.bundles import plain_bundle

pytest.importorskip("torch")
pytest.importorskip("cupy")

from assay.bench import gpu, gpu_path
from assay.bench.gpu_path import COLUMNS, path_table
from assay.bench.gpu_rates import encoded
from assay.engine.bundle import DEFAULT, Bundle, find, shipped
from assay.engine.decode import make_decoder
from assay.engine.load.images import made
from assay.engine.settings import Settings


def rows(said: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in said]


@pytest.mark.parametrize("broken_first", [True, False])
def test_each_bundle_has_its_row_and_one_that_cannot_run_has_its_reason(
    broken_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_path, "COMPARED", 2)
    good, broken = (Bundle.load(plain_bundle(tmp_path / name)) for name in ("good", "broken"))
    (broken.path / "classify.onnx").write_bytes(b"no graph")
    files = made(4)
    pixels = [one.copy() for one in make_decoder().decode(encoded(files))]
    said: list[str] = []
    bundles = [broken, good] if broken_first else [good, broken]
    path_table(bundles, Settings(workers=0, precision="fp32"), files, pixels, 1e9, said.append)
    header, line, *found = rows(said)
    assert tuple(header) == COLUMNS
    assert all(len(row) == len(header) for row in (line, *found))
    refused, measured = found if broken_first else reversed(found)
    assert refused[1].startswith("not run: ")
    executor, batch, model, rate, ratio, apart, shares = measured[1:]
    assert "OpenVINO" in executor
    assert executor.endswith("fp32")
    assert int(batch) == 4
    assert float(model) > 0
    assert float(rate) > 0
    assert 0 < float(ratio) < 2
    assert float(apart) < 1e-3
    assert "classify" in shares


def test_all_bundles_that_ship_are_measured_the_default_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "make_decoder", lambda *given, **named: make_decoder())
    monkeypatch.setattr(gpu, "decode_alone", lambda files, batch, say: 1e9)
    measured: list[str] = []
    monkeypatch.setattr(
        gpu, "path_table", lambda bundles, *given: measured.extend(bundle.name for bundle in bundles)
    )
    with gpu.photographs(None, 2) as paths:
        gpu.path(list(map(find, gpu.shipped_names())), paths, 3, lambda text: None)
    assert sorted(measured) == sorted(folder.name for folder in shipped())
    assert measured[0] == DEFAULT
