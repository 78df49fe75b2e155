"""A worker for a GPU that is not there: decoder, kernels and graphs return at once, all else is real.

Arrays are those of CuPy, at addresses where nothing lies: checks and tables cost what they cost. What CuPy
and a driver take for an allocation or a launch is not in it; `calls` counts how often they are asked.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from assay.engine.bundle import GraphSpec
from assay.engine.decode import Encoded
from assay.engine.decode.screened import ScreenedDecoder
from assay.engine.executors.runtime import Runtime
from assay.engine.worker import scorer
from assay.engine.worker.__main__ import main
from assay.kernels.arrays import Array

calls: Counter[str] = Counter()
"""What was asked of the device, by name."""


class NullGpu:
    """In the place of `assay.engine.worker.gpu.Gpu`."""

    name = "no GPU"

    def decoding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def decoded(self) -> None:
        pass

    def computing(self, after: None) -> AbstractContextManager[None]:
        return nullcontext()

    def release(self) -> None:
        pass


class NullBackend:
    """Answers each image with an array of its size."""

    def decode(self, batch: Sequence[Encoded]) -> list[Array | None]:
        for data, _ in batch:
            np.frombuffer(data, np.uint8)
        return [array((header.height, header.width, 3), np.uint8) for _, header in batch]


def array(shape: Any, dtype: Any = np.float32, *_: Any, **__: Any) -> Any:
    """A CuPy array at an address at which nothing lies."""
    import cupy

    nothing = cupy.cuda.UnownedMemory(1 << 20, 1 << 40, None, 0)
    return cupy.ndarray(shape, dtype, memptr=cupy.cuda.MemoryPointer(nothing, 0))


def on_device(values: Any) -> Any:
    """An upload."""
    return array(values.shape, values.dtype)


def null_graph(file: Path, spec: GraphSpec, precision: str) -> Callable[..., tuple[Array, ...]]:
    """Outputs of a graph, already on the host."""
    random = np.random.default_rng(0)

    def call(*arrays: Array) -> tuple[Array, ...]:
        calls["graph"] += 1
        varying: dict[int | str, int | str] = {"N": len(arrays[0])}
        return tuple(
            random.standard_normal([int(varying.get(side, side)) for side in shape], np.float32)
            for shape in spec.outputs.values()
        )

    return call


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*arguments, **named)

    return call


def _joined(arrays: Sequence[Any], axis: int) -> Any:
    length = sum(one.shape[axis] for one in arrays)
    shape = list(arrays[0].shape)
    shape[axis] = length
    return array(tuple(shape))


@contextmanager
def null_device() -> Iterator[None]:
    """Inside, a `Scorer` with `devices` has the null device, and what libjpeg reads is always whole."""
    import cupy

    eighth = np.empty((48, 64, 1), np.uint8)
    measured = np.random.default_rng(1).random((64, 3), np.float32)
    replaced = {
        (scorer, "Gpu"): NullGpu,
        (scorer, "make_decoder"): lambda *_: ScreenedDecoder(NullBackend()),
        (scorer, "choose"): lambda settings: Runtime("null", null_graph),
        (cupy, "empty"): counted("allocation", array),
        (cupy, "zeros"): counted("allocation", array),
        (cupy, "asarray"): counted("upload", on_device),
        (cupy, "concatenate"): counted("launch", _joined),
        (cupy.cuda.runtime, "getDevice"): lambda: 0,
    }
    with ExitStack() as stack:
        for (place, name), instead in replaced.items():
            stack.enter_context(mock.patch.object(place, name, instead))
        for place, instead in {
            "assay.kernels.launch._function": lambda *_: counted("launch", lambda *arguments: None),
            "assay.engine.decode.jpeg.simplejpeg.decode_jpeg": lambda *_, **__: eighth,
            "assay.engine.detectors.measures.on_host": lambda array: np.resize(measured, array.shape),
            "assay.engine.worker.scorer.Scorer.self_test": lambda self: 0.0,
        }.items():
            stack.enter_context(mock.patch(place, instead))
        yield


if __name__ == "__main__":
    with null_device():
        main()
