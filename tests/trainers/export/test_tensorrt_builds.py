"""Networks as large as the papers': TensorRT for RTX really builds each of their graphs, without a GPU."""

from pathlib import Path

import pytest

from assay.bench.papers import PAPERS, paper_bundle
from assay.engine.bundle import Bundle
from assay.engine.commands.compile import compile_bundle
from assay.engine.executors.tensorrt.build import Builder

trt = pytest.importorskip("tensorrt_rtx_bindings")


@pytest.fixture(scope="module", params=PAPERS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return paper_bundle(request.param, tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("sm", [89, *(pytest.param(sm, marks=pytest.mark.full) for sm in (80, 86, 120))])
def test_every_graph_builds(
    bundle: Bundle, sm: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    files = compile_bundle(bundle, Builder(trt, sm), precision, 4)
    assert len(files) >= len(bundle.manifest.graphs)
    assert all(file.read_bytes()[:4] == b"vtrt" for file in files)
