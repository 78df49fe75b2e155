"""The suite that every executor passes. It stands here because it needs torch in its process.

Those of a GPU take the same tests in tests/gpu.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.executors import CPU, Candidate, bundle, inputs
from support.executors_suite import check_contract, check_values
from support.images import encode, photograph

from assay.engine.bundle import Bundle, File, GraphSpec
from assay.engine.engine import Engine
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.buckets import chunks
from assay.engine.executors.executor import Executor
from assay.engine.executors.onnxruntime import OnnxRuntimeGraph
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.torch_export import TorchExportGraph
from assay.engine.executors.torch_onnx import TorchOnnxGraph
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.export.bundle import export_bundle
from assay.trainers.kinds.plain.fit import manifest_template
from assay.trainers.kinds.plain.network import Plain


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module", params=CPU, ids=lambda candidate: candidate.name)
def made(request: pytest.FixtureRequest, exported: Bundle) -> tuple[Candidate, Executor]:
    candidate: Candidate = request.param
    spec = exported.manifest.graphs["classify"]
    return candidate, candidate.make(exported.path / spec.file, spec, candidate.precision)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 16, 21])
def test_any_batch_gives_the_values_of_the_network(made: tuple[Candidate, Executor], count: int) -> None:
    check_values(*made, count)


def test_arrays_belong_to_the_caller(made: tuple[Candidate, Executor]) -> None:
    check_contract(*made)


@pytest.mark.parametrize("make", [OpenVinoGraph, OnnxRuntimeGraph, TorchExportGraph, TorchOnnxGraph])
@pytest.mark.parametrize("content", [b"", b"not a graph", b"PK\x03\x04 not a program"])
def test_a_file_that_is_no_graph_is_named(
    make: Callable[[Path, GraphSpec, str], Executor], content: bytes, exported: Bundle, tmp_path: Path
) -> None:
    spec = exported.manifest.graphs["classify"]
    for name in ("classify.onnx", "classify.pt2"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError, match=r"classify\.(onnx|pt2)"):
        make(tmp_path / spec.file, spec, "fp32")


def test_a_program_with_other_tensors_is_refused(exported: Bundle) -> None:
    spec = exported.manifest.graphs["classify"]
    changed = spec.model_copy(update={"outputs": {"logit": ("N", 1)}})
    with pytest.raises(BundleError, match="2 inputs and 2 outputs, the manifest names 2 and 1"):
        TorchExportGraph(exported.path / spec.file, changed, "fp32")


def test_a_bundle_without_programs_says_how_to_get_them(exported: Bundle) -> None:
    spec = exported.manifest.graphs["classify"].model_copy(update={"program": None})
    with pytest.raises(BundleError, match="--pt2"):
        TorchExportGraph(exported.path / spec.file, spec, "fp32")


def test_a_precision_that_torch_has_not_is_refused(exported: Bundle) -> None:
    spec = exported.manifest.graphs["classify"]
    with pytest.raises(BundleError, match="not int8"):
        TorchExportGraph(exported.path / spec.file, spec, "int8")


def test_programs_are_checked_as_graphs_are(exported: Bundle) -> None:
    manifest = exported.manifest
    program = manifest.graphs["classify"].program
    assert program == File(
        file="classify.pt2", sha256=hashlib.sha256((exported.path / "classify.pt2").read_bytes()).hexdigest()
    )
    kept = (exported.path / "classify.pt2").read_bytes()
    try:
        (exported.path / "classify.pt2").write_bytes(kept + b"\0")
        with pytest.raises(BundleError, match=r"classify\.pt2 is not the file"):
            Bundle.load(exported.path)
        (exported.path / "classify.pt2").unlink()
        with pytest.raises(BundleError, match=r"classify\.pt2, which is not there"):
            Bundle.load(exported.path)
    finally:
        (exported.path / "classify.pt2").write_bytes(kept)


def test_a_graph_that_is_not_the_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each form is compared with the module that it was written from."""
    call = TorchExportGraph.__call__
    monkeypatch.setattr(
        TorchExportGraph, "__call__", lambda self, *arrays: tuple(out + 0.1 for out in call(self, *arrays))
    )
    with pytest.raises(SetupError, match=r"classify\.pt2: the exported graph differs by 0\.1"):
        bundle(tmp_path)


@given(
    count=st.integers(0, 300),
    buckets=st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_chunks_cover_a_batch_once(count: int, buckets: list[int]) -> None:
    cut = chunks(count, buckets)
    assert [image for chunk in cut for image in range(chunk.start, chunk.stop)] == list(range(count))
    assert all(chunk.bucket in buckets and chunk.stop - chunk.start <= chunk.bucket for chunk in cut)
    assert all(chunk.stop - chunk.start == buckets[-1] for chunk in cut[:-1])  # only the last is padded
    if cut:
        left = cut[-1].stop - cut[-1].start
        assert cut[-1].bucket == min(size for size in buckets if size >= left)


def test_bf16_is_another_computation(exported: Bundle) -> None:
    spec = exported.manifest.graphs["classify"]
    arrays = inputs(4)
    exact, coarse = (
        TorchExportGraph(exported.path / spec.file, spec, precision)(*arrays)[0]
        for precision in ("fp32", "bf16")
    )
    assert 1e-5 < np.abs(exact - coarse).max() < 0.1


def test_every_executor_serves_a_bundle_with_the_verdicts_of_openvino(tmp_path: Path) -> None:
    """Whole: settings, choice, worker process, programs; the bundle's own graphs against each other."""
    spec = manifest_template(64).graphs["classify"]
    torch.manual_seed(1)
    served = export_bundle(
        {"classify": Plain("mobilenet_v2").eval()}, manifest_template(64), tmp_path, programs=True
    )
    assert served.manifest.graphs["classify"].program is not None
    assert spec.program is None
    data = [encode(photograph(80, 90, seed)) for seed in range(3)]
    logits = {}
    for executor in ("openvino", "torch_export", "torch", "onnxruntime"):
        with Engine(served, settings=Settings(workers=1, executor=executor)) as engine:
            verdicts = [outcome for outcome in engine.score(data) if isinstance(outcome, Verdict)]
            logits[executor] = [verdict.scores["plain"] for verdict in verdicts]
    assert len(logits["openvino"]) == len(data)
    for found in logits.values():
        np.testing.assert_allclose(found, logits["openvino"], rtol=0, atol=1e-4)
