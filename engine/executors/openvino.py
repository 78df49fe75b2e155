"""Runs graphs on a CPU core with OpenVINO.

One thread an executor: a worker owns one core, and workers are what fills the machine. Pinning is off,
because OpenVINO would pin the threads of all worker processes to the same core. Shapes are static, one
compiled model for each of a few small batch sizes: on one core a dynamic batch dimension costs 8 to 15 %,
and large batches leave the cache.
"""

import functools
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.cache import Cache
from assay.engine.executors.runtime import Runtime, titled

BATCHES = (4, 2, 1)
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor, for batches up to `batch`. Raises SetupError for a GPU."""
    if gpu:
        raise SetupError("the executor 'openvino' runs on CPUs: leave --devices out, or name another one")
    can = {"int8": computes_int8(), "bf16": computes_bf16()}
    fast = [precision for precision, computed in can.items() if computed]
    return Runtime(titled("OpenVINO", "openvino"), partial(OpenVinoGraph, most=batch), fast)


@functools.cache
def openvino_core() -> ov.Core:
    """The one core of this process, which is never freed.

    Each core gives its thread a stack for signal handlers and, when freed, gives back the one that it found.
    Of several freed in another order the last leaves a stack behind that is gone; the next signal with a
    handler, such as SIGTERM, then kills the process.
    """
    return ov.Core()


def computes_bf16() -> bool:
    """Whether this CPU computes in bfloat16 (AVX-512 BF16 or AMX), so that bf16 is faster than fp32."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def computes_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU adds up products of bytes in 32 bits (VNNI, or Arm's dot products), so that int8 is
    exact. Others add pairs in 16 bits, which overflow; OpenVINO says of them, too, that they can."""
    try:
        words = set(cpuinfo.read_text("utf-8").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_vnni", "avx_vnni", "asimddp"})


class OpenVinoGraph:
    """One graph of a bundle, compiled for one core in one precision ("fp32", "bf16" or "int8").

    `cache` is where int8 forms are looked for, by default Assay's. Batch sizes up to `most` are compiled at
    once, larger ones when the first such batch comes: each takes a good part of a second.

    Raises:
        BundleError: OpenVINO cannot read or compile the file, or its tensors are not the manifest's; there is
            no int8 form of it.
    """

    def __init__(
        self,
        file: Path,
        spec: GraphSpec,
        precision: str,
        cache: Cache | None = None,
        most: int = BATCHES[0],
    ) -> None:
        if precision not in _HINTS:
            raise BundleError(f"graph {file}: OpenVINO runs {', '.join(_HINTS)} on CPUs, not {precision}")
        if precision == "int8":
            file = (cache or Cache()).int8_file(file, spec)
        self._shapes = {name: shape[1:] for name, shape in spec.inputs.items()}
        self._options = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
        }
        try:
            self._model = openvino_core().read_model(file)
            _match(self._model, spec)
            self._requests: dict[int, ov.InferRequest] = {}
            for batch in BATCHES:
                if batch <= most:
                    self._request(batch)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(f"graph {file}: OpenVINO cannot run it: {reason}") from None
        self._inputs = list(spec.inputs)
        self._outputs = list(spec.outputs)

    def __call__(self, *arrays: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Inputs in the manifest's order, each (N, ...) float32 -> its outputs, each (N, ...) float32."""
        parts: list[list[NDArray[np.float32]]] = [[] for _ in self._outputs]
        start, count = 0, len(arrays[0])
        while start < count:
            batch = next(size for size in BATCHES if size <= count - start)
            request = self._request(batch)
            chunk = {
                name: np.ascontiguousarray(array[start : start + batch], np.float32)
                for name, array in zip(self._inputs, arrays, strict=True)
            }
            result = request.infer(chunk, share_inputs=True)
            for part, name in zip(parts, self._outputs, strict=True):
                part.append(result[name])
            start += batch
        return tuple(part[0] if len(part) == 1 else np.concatenate(part) for part in parts)

    def _request(self, batch: int) -> ov.InferRequest:
        if batch not in self._requests:
            self._model.reshape({name: [batch, *shape] for name, shape in self._shapes.items()})
            compiled = openvino_core().compile_model(self._model, "CPU", self._options)
            self._requests[batch] = compiled.create_infer_request()
        return self._requests[batch]


def _match(model: ov.Model, spec: GraphSpec) -> None:
    """Refuse a graph whose tensors do not bear the names that the manifest gives them."""
    for what, ports, named in (("input", model.inputs, spec.inputs), ("output", model.outputs, spec.outputs)):
        present = {name for port in ports for name in port.get_names()}
        if missing := named.keys() - present:
            raise ValueError(f"the manifest names {what} {sorted(missing)}, the graph has {sorted(present)}")
