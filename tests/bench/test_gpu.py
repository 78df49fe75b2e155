"""The benchmark of a GPU, with the CPU in its place: what it says, and what it does without one."""

from pathlib import Path

import numpy as np
import pytest
from support.bundles import plain_bundle

pytest.importorskip("torch")
pytest.importorskip("cupy")

from assay.bench import gpu
from assay.engine.bundle import Bundle, shipped
from assay.engine.decode.screened import ScreenedDecoder
from assay.engine.errors import EngineFault, SetupError
from assay.engine.settings import Settings
from assay.engine.telemetry.nvml import GpuCollector


def test_without_a_gpu_it_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> None:
        raise EngineFault("the GPU cannot be used")

    monkeypatch.setattr(gpu, "Gpu", none)
    with pytest.raises(SystemExit) as end:
        gpu.main(check=True)
    assert end.value.code == 2
    assert capsys.readouterr().err == "there is no GPU to test and measure on: the GPU cannot be used\n"


def test_the_report_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.load(plain_bundle(tmp_path / "bundle"))
    monkeypatch.setattr(gpu, "EXECUTORS", ("openvino", "torch_export"))
    monkeypatch.setattr(gpu, "PRECISIONS", ("fp32",))
    monkeypatch.setattr(gpu, "BATCHES", (1, 4))
    monkeypatch.setattr(gpu, "Settings", lambda devices, **given: Settings(workers=0, **given))
    monkeypatch.setattr(gpu, "make_decoder", lambda *given, **named: ScreenedDecoder(None, 1, np.copy))
    monkeypatch.setattr(gpu, "decode_alone", lambda files, batch, say: 1e9)
    monkeypatch.setattr(gpu, "graph_table", lambda graphs, manifest: "graphs: " + ", ".join(graphs))
    said: list[str] = []
    with gpu.photographs(None, 3) as paths:
        gpu.measure(bundle, paths, 8, GpuCollector([], lambda: 0.0), said.append)
    text = "\n".join(said)
    assert "graphs: classify" in text
    assert "no torch program (.pt2)" in text
    assert "| openvino | fp32 | 1.000 | 0.0000 | 0.0000 | 0.000 | yes |" in text
    [one, four] = [line for line in text.splitlines() if line.startswith(("| 1 |", "| 4 |"))]
    for line in (one, four):
        rate, ratio = (float(cell) for cell in line.split("|")[2:4])
        assert rate > 0
        assert 0 < ratio < 2
        assert "decode" in line
    assert "right after the last batch: nothing" in text


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no JPEG"), gpu.photographs(tmp_path, 5):
        pass


def test_named_bundles_are_measured_and_no_other(tmp_path: Path) -> None:
    names = [str(path) for path in shipped()][:1]
    with gpu.chosen_bundles(names) as chosen:
        assert [str(bundle.path) for bundle in chosen] == names
