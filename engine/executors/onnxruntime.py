"""Runs a bundle's ONNX graphs with ONNX Runtime: on a GPU by its CUDA provider, on a CPU to compare with.

On a GPU inputs and outputs are memory of CuPy that ONNX Runtime is given the addresses of; nothing is copied
through the host. It works on a stream of its own, which waits for the caller's and which the caller's then
waits for, so that the host never does.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.runtime import Runtime
from assay.kernels.arrays import Array

PROVIDER = "CUDAExecutionProvider"
PRECISIONS = ("fp32", "fp16", "bf16")


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor. Raises SetupError for a GPU where ONNX Runtime is not the one for CUDA."""
    title = f"ONNX Runtime {ort.__version__}"
    if not gpu:
        return Runtime(title, OnnxRuntimeGraph, lowers=True)
    if PROVIDER not in ort.get_available_providers():
        raise SetupError(
            "the ONNX Runtime that is installed has no CUDA provider: replace it, pip uninstall onnxruntime "
            "and then pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return Runtime(title, partial(OnnxRuntimeGraph, gpu=True), ("fp16",), lowers=True)


class OnnxRuntimeGraph:
    """One ONNX graph of a bundle by ONNX Runtime; see `Executor`.

    Raises:
        BundleError: ONNX Runtime cannot read or run the file, or its tensors are not the manifest's.
        SetupError: the graph cannot be converted to this precision.
    """

    def __init__(self, file: Path, spec: GraphSpec, precision: str, gpu: bool = False) -> None:
        if precision not in PRECISIONS:
            raise BundleError(f"graph {file}: ONNX Runtime runs {', '.join(PRECISIONS)}, not {precision}")
        self._inputs, self._outputs = list(spec.inputs), list(spec.outputs)
        self._stream = _stream() if gpu else None
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            data = _content(file, precision)
            self._session = ort.InferenceSession(data, options, providers=_providers(self._stream))
        except SetupError:
            raise
        except Exception as error:  # ONNX Runtime has an exception for each code
            raise BundleError(f"graph {file}: ONNX Runtime cannot run it: {_first_line(error)}") from None
        if gpu and PROVIDER not in self._session.get_providers():  # it would go on without a word
            raise SetupError(
                "ONNX Runtime cannot load its CUDA provider; CUDA 13 and cuDNN 9 must be there: "
                "pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        self._match(file)
        self._run = ort.RunOptions()
        if gpu:
            self._run.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        if self._stream is None:
            given = [np.ascontiguousarray(array, np.float32) for array in arrays]
            found = self._session.run(self._outputs, dict(zip(self._inputs, given, strict=True)))
            return tuple(found)
        return self._on_gpu(arrays, self._stream)

    def _on_gpu(self, arrays: tuple[Array, ...], stream: Any) -> tuple[Array, ...]:
        import cupy

        caller = cupy.cuda.get_current_stream()
        given = [cupy.ascontiguousarray(array, np.float32) for array in arrays]
        stream.wait_event(caller.record())
        binding = self._session.io_binding()
        for name, array in zip(self._inputs, given, strict=True):
            binding.bind_input(name, "cuda", 0, np.float32, array.shape, array.data.ptr)
        for name in self._outputs:
            binding.bind_output(name, "cuda", 0)
        try:
            self._session.run_with_iobinding(binding, self._run)
        except Exception as error:
            if "memory" in str(error).lower():
                raise MemoryError(_first_line(error)) from None
            raise
        with stream:
            found = tuple(_copied(value) for value in binding.get_outputs())
        done = stream.record()
        caller.wait_event(done)
        # what was read is given back to the pool of the caller's stream, which waits for `done`
        return found

    def _match(self, file: Path) -> None:
        """Refuse a graph whose tensors do not bear the names that the manifest gives them."""
        for what, ports, named in (
            ("input", self._session.get_inputs(), self._inputs),
            ("output", self._session.get_outputs(), self._outputs),
        ):
            if (found := sorted(port.name for port in ports)) != sorted(named):
                raise BundleError(
                    f"graph {file}: the manifest names {what} {sorted(named)}, the graph has {found}"
                )


def _content(file: Path, precision: str) -> bytes:
    if precision == "fp32":
        return file.read_bytes()
    import onnx

    from assay.engine.executors.lowering import lowered

    data: bytes = lowered(onnx.load_model_from_string(file.read_bytes()), precision).SerializeToString()
    return data


def _stream() -> Any:
    import cupy

    ort.preload_dlls(msvc=False)  # finds the packages of NVIDIA
    return cupy.cuda.Stream(non_blocking=True)


def _providers(stream: Any) -> list[Any]:
    if stream is None:
        return ["CPUExecutionProvider"]
    given = {"device_id": 0, "user_compute_stream": str(stream.ptr), "use_tf32": "0"}
    return [(PROVIDER, given), "CPUExecutionProvider"]


def _copied(value: Any) -> Array:
    """An output of ONNX Runtime's own memory, which the next call may reuse, as an array of the caller's."""
    import cupy

    shape = tuple(value.shape())
    size = int(np.prod(shape)) * np.dtype(np.float32).itemsize
    memory = cupy.cuda.UnownedMemory(value.data_ptr(), size, value)
    pointer = cupy.cuda.MemoryPointer(memory, 0)
    copied: Array = cupy.ndarray(shape, np.float32, pointer).copy()
    return copied


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
