"""Runs a bundle's optional torch.export programs (`.pt2`), for GPUs where TensorRT is not installed.

Loading such a file may unpickle what is in it, so only what is trusted is loaded: see `choose`. The only file
of the engine that imports torch.

On a GPU each program is compiled for a few batch sizes, and each of them is captured as a CUDA graph when the
executor is made, so that nothing is compiled while images wait. Lower precisions are torch's autocast, which
leaves what needs float32 in float32. On a CPU the program runs as it was exported: slower than OpenVINO, and
good for comparing with it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.utils.dlpack import from_dlpack

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError
from assay.engine.executors.buckets import chunks
from assay.engine.executors.runtime import Runtime, titled
from assay.kernels.arrays import Array

BUCKETS = (1, 4, 16, 64)
"""Batch sizes that are compiled: seconds each at the first start; later ones find them in torch's cache."""
WARM_UPS = 3
"""Runs before a capture: libraries allocate and choose their algorithms in the first ones."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

log = logging.getLogger(__name__)


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor."""
    title = titled("torch", "torch")
    if not gpu:
        return Runtime(title, TorchExportGraph)
    return Runtime(title, partial(TorchExportGraph, device="cuda"), ("fp16", "bf16"))


class TorchExportGraph:
    """One graph of a bundle as a torch program on `device`; see `Executor`.

    Raises:
        BundleError: the bundle has no such program, or torch cannot load it or run it in this precision.
    """

    def __init__(
        self, file: Path, spec: GraphSpec, precision: str, device: Literal["cpu", "cuda"] = "cpu"
    ) -> None:
        if spec.program is None:
            raise BundleError(
                f"graph {file}: the bundle has no torch program (.pt2) of it; export it again with --pt2"
            )
        if precision not in DTYPES:
            raise BundleError(f"graph {file}: torch_export runs {', '.join(DTYPES)}, not {precision}")
        path = file.parent / spec.program.file
        self._device = device
        self._dtype = DTYPES[precision]
        self._captured: dict[int, _Captured] = {}
        try:
            program = torch.export.load(path)
            if device == "cuda":
                program = move_to_device_pass(program, "cuda")
            self._module: Any = program.module()
        except Exception as error:  # whatever a zip archive, a pickle and a deserialiser raise
            raise BundleError(f"graph {path}: torch cannot load it: {_first_line(error)}") from None
        self._check(path, program, spec)
        if device == "cuda":
            # not TF32: indices are chosen by what fp32 gives
            torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
            torch.backends.cuda.matmul.fp32_precision = "ieee"
            self._capture_all(spec)

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
        lower = self._dtype != torch.float32
        with torch.autocast(self._device, self._dtype if lower else torch.bfloat16, enabled=lower):
            outputs = self._module(*tensors)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [output.float() for output in outputs]

    def _capture_all(self, spec: GraphSpec) -> None:
        plain = self._module
        shapes = [tuple(int(length) for length in shape[1:]) for shape in spec.inputs.values()]
        try:
            self._module = torch.compile(plain, dynamic=False)
            self._warm(shapes, 1)
        except Exception as error:  # no compiler on this machine, or a graph that torch.compile cannot take
            log.warning("torch.compile failed; this graph runs as exported: %s", _first_line(error))
            self._module = plain
        pool = torch.cuda.graph_pool_handle()
        with torch.no_grad(), _memory_errors():
            for bucket in reversed(BUCKETS):  # the largest first: smaller ones fit into its memory
                self._captured[bucket] = _Captured(self._run, self._warm(shapes, bucket), pool)

    def _warm(self, shapes: list[tuple[int, ...]], bucket: int) -> list[Tensor]:
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

    def _check(self, path: Path, program: torch.export.ExportedProgram, spec: GraphSpec) -> None:
        """Refuse a program that takes or gives another number of tensors than the manifest names."""
        signature = program.graph_signature
        found = (len(signature.user_inputs), len(signature.user_outputs))
        if found != (len(spec.inputs), len(spec.outputs)):
            raise BundleError(
                f"graph {path}: the program has {found[0]} inputs and {found[1]} outputs, the manifest names "
                f"{len(spec.inputs)} and {len(spec.outputs)}"
            )


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
        message = _first_line(error)
    else:
        return
    torch.cuda.empty_cache()
    raise MemoryError(message)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
