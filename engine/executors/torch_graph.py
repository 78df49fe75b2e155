"""Runs a torch module as an executor: on a CPU as it is, on a GPU as CUDA graphs.

On a GPU the module is compiled for a few batch sizes, and each of them is captured as a CUDA graph when the
executor is made, so that nothing is compiled while images wait.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

from assay.engine.bundle import GraphSpec
from assay.engine.executors.buckets import chunks
from assay.kernels.arrays import Array

Device: TypeAlias = Literal["cpu", "cuda"]
BUCKETS = (1, 4, 16, 64)
"""Batch sizes that are compiled: seconds each at the first start; later ones find them in torch's cache."""
WARM_UPS = 3
"""Runs before a capture: libraries allocate and choose their algorithms in the first ones."""

log = logging.getLogger(__name__)


class TorchGraph:
    """A module that lies on `device`, as an executor; see `Executor`.

    shapes: of one image in each input. autocast: the type in which torch computes what it holds safe; None:
    every operator computes in the type of what it is given.
    """

    def __init__(
        self,
        module: nn.Module,
        shapes: Sequence[tuple[int, ...]],
        device: Device,
        autocast: torch.dtype | None = None,
    ) -> None:
        self._module: Any = module
        self._device = device
        self._autocast = autocast
        self._captured: dict[int, _Captured] = {}
        if device == "cuda":
            exactly()
            self._capture_all(shapes)

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        with torch.no_grad(), _memory_errors(), self._on_the_callers_stream():
            tensors = [from_dlpack(_writable(array)) for array in arrays]
            if self._device == "cpu":
                outputs = self._run(tensors)
            else:
                parts = [
                    self._captured[bucket]([tensor[start:stop] for tensor in tensors])
                    for start, stop, bucket in chunks(len(tensors[0]), BUCKETS)
                ]
                outputs = (
                    parts[0] if len(parts) == 1 else [torch.cat(each) for each in zip(*parts, strict=True)]
                )
            return tuple(self._to_array(output) for output in outputs)

    def _run(self, tensors: list[Tensor]) -> list[Tensor]:
        lower = self._autocast
        with torch.autocast(self._device, lower or torch.bfloat16, enabled=lower is not None):
            outputs = self._module(*tensors)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [output.float() for output in outputs]

    def _capture_all(self, shapes: Sequence[tuple[int, ...]]) -> None:
        plain = self._module
        try:
            self._module = torch.compile(plain, dynamic=False)
            self._warm(shapes, 1)
        except Exception as error:  # no compiler on this machine, or a graph that torch.compile cannot take
            log.warning("torch.compile failed; this graph runs as it is: %s", first_line(error))
            self._module = plain
        pool = torch.cuda.graph_pool_handle()
        with torch.no_grad(), _memory_errors():
            for bucket in reversed(BUCKETS):  # the largest first: smaller ones fit into its memory
                self._captured[bucket] = _Captured(self._run, self._warm(shapes, bucket), pool)

    def _warm(self, shapes: Sequence[tuple[int, ...]], bucket: int) -> list[Tensor]:
        """Inputs of zeros for a batch, which the program has run on."""
        inputs = [torch.zeros((bucket, *shape), device="cuda") for shape in shapes]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                self._run(inputs)
        side.synchronize()
        return inputs

    @contextmanager
    def _on_the_callers_stream(self) -> Iterator[None]:
        if self._device == "cpu":
            yield
            return
        import cupy

        pointer = cupy.cuda.get_current_stream().ptr
        stream: torch.cuda.Stream = torch.cuda.default_stream()
        if pointer:
            stream = torch.cuda.ExternalStream(pointer)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            yield

    def _to_array(self, tensor: Tensor) -> Array:
        if self._device == "cpu":
            array: Array = tensor.contiguous().numpy()
            return array
        import cupy

        on_device: Array = cupy.from_dlpack(tensor.contiguous())
        return on_device


def shapes_of(spec: GraphSpec) -> list[tuple[int, ...]]:
    """Of one image in each input."""
    return [tuple(int(length) for length in shape[1:]) for shape in spec.inputs.values()]


def exactly() -> None:
    """fp32 is fp32, not TF32: indices are chosen by what it gives. Sums are fp32 in every precision."""
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


class _Captured:
    """A program as a CUDA graph for one batch size. Replays of graphs that share `pool` must not overlap."""

    def __init__(self, run: Any, inputs: list[Tensor], pool: Any) -> None:
        self._inputs = inputs
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: other threads may use the device meanwhile
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._outputs = run(inputs)

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        """Outputs for at most as many images as the graph was captured with, in memory of their own."""
        count = len(tensors[0])
        for inputs, given in zip(self._inputs, tensors, strict=True):
            inputs[:count].copy_(given)
        self._graph.replay()
        return [output[:count].clone() for output in self._outputs]


def _writable(array: Array) -> Array:
    """The array, or a copy of one that is read-only or has gaps: torch shares memory only with what it may
    write to."""
    if isinstance(array, np.ndarray):
        return np.require(array, np.float32, ["C", "W"])
    return array


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Torch's word for a full device is not Python's."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = first_line(error)
    else:
        return
    torch.cuda.empty_cache()
    raise MemoryError(message)


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
