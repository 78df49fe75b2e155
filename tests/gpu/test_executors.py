"""The suite of tests/trainers/test_executors.py for the executors of a GPU."""

from functools import partial

import pytest
from support.executors import Candidate, bundle, inputs
from support.executors_suite import check_contract, check_values
from support.gpu import assert_asynchronous

from assay.engine.bundle import Bundle
from assay.engine.executors.choose import onnxruntime_sees_gpu
from assay.engine.executors.executor import Executor
from assay.engine.executors.onnxruntime import OnnxRuntimeGraph
from assay.engine.executors.tensorrt.executor import TensorRtGraph, runs_here
from assay.engine.executors.torch_export import TorchExportGraph
from assay.engine.executors.torch_onnx import TorchOnnxGraph

pytestmark = pytest.mark.gpu
on_cuda = partial(TorchExportGraph, device="cuda")
by_onnxruntime = partial(OnnxRuntimeGraph, gpu=True)
CANDIDATES = [
    Candidate("torch fp32", partial(TorchOnnxGraph, device="cuda"), "fp32", 1e-4, on_gpu=True),
    Candidate("torch bf16", partial(TorchOnnxGraph, device="cuda"), "bf16", 0.1, on_gpu=True),
    Candidate("torch fp16", partial(TorchOnnxGraph, device="cuda"), "fp16", 0.02, on_gpu=True),
    Candidate("torch_export fp32", on_cuda, "fp32", 1e-4, on_gpu=True),
    Candidate("torch_export bf16", on_cuda, "bf16", 0.1, on_gpu=True),
    Candidate("torch_export fp16", on_cuda, "fp16", 0.02, on_gpu=True),
    Candidate("onnxruntime fp32", by_onnxruntime, "fp32", 1e-4, on_gpu=True),
    Candidate("onnxruntime fp16", by_onnxruntime, "fp16", 0.02, on_gpu=True),
    Candidate("tensorrt fp32", TensorRtGraph, "fp32", 1e-4, on_gpu=True),
    Candidate("tensorrt bf16", TensorRtGraph, "bf16", 0.1, on_gpu=True),
    Candidate("tensorrt fp16", TensorRtGraph, "fp16", 0.02, on_gpu=True),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module", params=CANDIDATES, ids=lambda candidate: candidate.name)
def made(
    request: pytest.FixtureRequest, exported: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Candidate, Executor]:
    candidate: Candidate = request.param
    if candidate.make is TensorRtGraph and not runs_here():
        pytest.skip("no TensorRT that is installed here runs on this GPU")
    if candidate.make is by_onnxruntime and not onnxruntime_sees_gpu():
        pytest.skip("the ONNX Runtime that is installed here is the one for CPUs")
    spec = exported.manifest.graphs["classify"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return candidate, candidate.make(exported.path / spec.file, spec, candidate.precision)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 64, 65, 200])
def test_any_batch_gives_the_values_of_the_network(made: tuple[Candidate, Executor], count: int) -> None:
    check_values(*made, count)


def test_arrays_belong_to_the_caller(made: tuple[Candidate, Executor]) -> None:
    check_contract(*made)


@pytest.mark.parametrize("count", [3, 64])
def test_it_works_on_the_callers_stream_without_waiting(made: tuple[Candidate, Executor], count: int) -> None:
    candidate, executor = made
    given = candidate.arrays(inputs(count))
    assert_asynchronous(lambda: executor(*given))
