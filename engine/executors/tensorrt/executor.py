"""Runs TensorRT's engines on a GPU, or those of TensorRT for RTX, which has the same interface.

An engine is built from the graph once, ahead of time by `assay compile` or here, and then found in the cache.
For every batch size that is a power of two there is an execution context with buffers of its own, captured as
a CUDA graph when the executor is made; TensorRT for RTX captures by itself. All contexts share one piece of
working memory, because they run on one stream, one after the other.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.buckets import chunks
from assay.engine.executors.tensorrt.build import Builder
from assay.engine.executors.tensorrt.library import for_rtx, library
from assay.kernels.arrays import Array

WARM_UPS = 2
"""Runs before a capture: in the first ones TensorRT allocates and initialises."""


def runs_here() -> bool:
    """Whether a TensorRT is installed that knows the current GPU."""
    try:
        trt = library()
    except SetupError:
        return False
    import cupy

    return not for_rtx(trt) or hasattr(trt.ComputeCapability, f"SM{cupy.cuda.Device().compute_capability}")


class TensorRtGraph:
    """One graph of a bundle as a TensorRT engine; see `Executor`.

    Raises:
        BundleError: the engine cannot be built or loaded, or its tensors are not the manifest's.
        SetupError: TensorRT is not installed, or does not know this GPU or precision.
        MemoryError: the device has no room for it.
    """

    def __init__(self, file: Path, spec: GraphSpec, precision: str) -> None:
        import cupy

        trt = library()
        plan = Builder(trt).engine(file, spec, precision)
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BundleError(f"graph {file}: TensorRT cannot load the engine built from it for this GPU")
        _match(trt, self._engine, spec, file)
        largest = int(self._engine.get_tensor_profile_shape(next(iter(spec.inputs)), 0)[2][0])
        self._buckets = [size for size in (1 << power for power in range(20)) if size < largest] + [largest]
        self._memory = cupy.empty(max(1, self._engine.device_memory_size_v2), np.uint8)
        # the largest first: should the memory not suffice, that is known at once
        self._batches = {
            size: _Batch(trt, self._engine, spec, size, self._memory) for size in reversed(self._buckets)
        }

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        parts = [
            self._batches[bucket]([array[start:stop] for array in arrays])
            for start, stop, bucket in chunks(len(arrays[0]), self._buckets)
        ]
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


class _Batch:
    """An execution context for one batch size, with the buffers that it reads and writes."""

    def __init__(self, trt: ModuleType, engine: Any, spec: GraphSpec, size: int, memory: Any) -> None:
        import cupy

        self._context = _context(trt, engine)
        self._context.set_device_memory(memory.data.ptr, memory.nbytes)
        for name, shape in spec.inputs.items():
            self._context.set_input_shape(name, (size, *map(int, shape[1:])))
        self._inputs, self._outputs = (
            [cupy.zeros(tuple(self._context.get_tensor_shape(name)), np.float32) for name in names]
            for names in (spec.inputs, spec.outputs)
        )
        for name, buffer in zip([*spec.inputs, *spec.outputs], [*self._inputs, *self._outputs], strict=True):
            self._context.set_tensor_address(name, buffer.data.ptr)
        cupy.cuda.Device().synchronize()
        side = cupy.cuda.Stream(non_blocking=True)
        with side:
            for _ in range(WARM_UPS):
                self._enqueue(side)
            side.synchronize()
            self._graph = None if for_rtx(trt) else self._capture(side)

    def __call__(self, arrays: list[Array]) -> list[Array]:
        """Outputs for at most as many images as the context is for, in memory of their own."""
        import cupy

        count = len(arrays[0])
        for buffer, array in zip(self._inputs, arrays, strict=True):
            buffer[:count] = array
        stream = cupy.cuda.get_current_stream()
        if self._graph is None:
            self._enqueue(stream)
        else:
            self._graph.launch(stream)
        return [output[:count].copy() for output in self._outputs]

    def _capture(self, stream: Any) -> Any:
        stream.begin_capture()
        try:
            self._enqueue(stream)
        finally:
            graph = stream.end_capture()
        return graph

    def _enqueue(self, stream: Any) -> None:
        if not self._context.execute_async_v3(stream.ptr):
            raise RuntimeError("TensorRT did not take a batch; its log says why")


def _context(trt: ModuleType, engine: Any) -> Any:
    strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if for_rtx(trt):
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        # kernels for a batch size are made when it is warmed up, not while images wait
        config.dynamic_shapes_kernel_specialization_strategy = (
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context(strategy)
    if context is None:
        raise MemoryError("TensorRT could not make an execution context")
    return context


def _match(trt: ModuleType, engine: Any, spec: GraphSpec, file: Path) -> None:
    """Refuse an engine whose tensors are not those that the manifest names, in float32."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = {name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
    if inputs != set(spec.inputs) or set(names) - inputs != set(spec.outputs):
        raise BundleError(
            f"graph {file}: the manifest names {[*spec.inputs, *spec.outputs]}, the engine has {names}"
        )
    if other := [name for name in names if engine.get_tensor_dtype(name) != trt.DataType.FLOAT]:
        raise BundleError(f"graph {file}: tensor {', '.join(other)} of the engine is not float32")
