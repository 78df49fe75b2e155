"""How the executor for TensorRT drives an engine: with stand-ins for the library, CuPy and the device."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError
from assay.engine.executors.tensorrt import executor as tensorrt
from assay.engine.executors.tensorrt.build import Builder
from assay.engine.executors.tensorrt.executor import TensorRtGraph

SPEC = GraphSpec(file="g.onnx", sha256="", inputs={"a": ("N", 3), "b": ("N", 2)}, outputs={"sum": ("N", 1)})
LARGEST = 12


class Device:
    """Memory by address, the current stream, and what was given to which stream."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.current = Stream(self, "default")
        self.ran: list[tuple[str, int, str]] = []
        """Stream, batch size, and whether as a graph."""

    def cupy(self) -> Any:
        return SimpleNamespace(
            empty=self.zeros,
            zeros=self.zeros,
            cuda=SimpleNamespace(
                Stream=lambda non_blocking: Stream(self, "side"),
                get_current_stream=lambda: self.current,
                Device=lambda: SimpleNamespace(synchronize=lambda: None),
            ),
        )

    def zeros(self, shape: Any, dtype: Any) -> "Buffer":
        buffer = np.zeros(shape, dtype).view(Buffer)
        self.memory[buffer.data.ptr] = buffer
        return buffer


class Buffer(np.ndarray):
    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


class Stream:
    def __init__(self, device: Device, name: str) -> None:
        self.device, self.name = device, name
        self.captured: list[Callable[[str, str], None]] | None = None
        self.ptr = self

    def __enter__(self) -> None:
        self.before, self.device.current = self.device.current, self

    def __exit__(self, *error: object) -> None:
        self.device.current = self.before

    def synchronize(self) -> None: ...

    def begin_capture(self) -> None:
        self.captured = []

    def end_capture(self) -> Any:
        work, self.captured = self.captured, None
        assert work, "an empty graph"

        def launch(stream: Stream) -> None:
            for run in work:
                run(stream.name, "graph")

        return SimpleNamespace(launch=launch)


class Context:
    """Runs the engine a + b, summed, on the whole of the shape it was given."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.addresses: dict[str, int] = {}
        self.size = 0
        self.scratch = 0

    def set_device_memory(self, pointer: int, size: int) -> None:
        self.scratch = pointer

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.size = shape[0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"a": (self.size, 3), "b": (self.size, 2), "sum": (self.size, 1)}[name]

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self.addresses[name] = pointer

    def execute_async_v3(self, stream: Stream) -> bool:
        def run(where: str, how: str) -> None:
            a, b, total = (self.device.memory[self.addresses[name]] for name in ("a", "b", "sum"))
            total[:] = a.sum(1, keepdims=True) + b.sum(1, keepdims=True)
            self.device.ran.append((where, self.size, how))

        if stream.captured is None:
            run(stream.name, "alone")
        else:
            stream.captured.append(run)
        return True


class Logger:
    WARNING = 1

    def __init__(self, severity: int) -> None: ...


class Engine:
    device_memory_size_v2 = 1000
    num_io_tensors = 3

    def __init__(self, device: Device) -> None:
        self.device = device
        self.contexts: list[Context] = []
        self.room = 99

    def get_tensor_name(self, index: int) -> str:
        return ("a", "b", "sum")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "output" if name == "sum" else "input"

    def get_tensor_dtype(self, name: str) -> str:
        return "float"

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return (1, 3), (6, 3), (LARGEST, 3)

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(set_execution_context_allocation_strategy=lambda strategy: None)

    def create_execution_context(self, config: Any) -> Context | None:
        if len(self.contexts) == self.room:
            return None
        self.contexts.append(Context(self.device))
        return self.contexts[-1]


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(Device())
    trt = SimpleNamespace(
        Logger=Logger,
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: made),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED=0),
        TensorIOMode=SimpleNamespace(INPUT="input"),
        DataType=SimpleNamespace(FLOAT="float"),
    )
    if getattr(request, "param", "full") == "rtx":
        trt.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE=1)
        trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER=1)
    monkeypatch.setattr(tensorrt, "library", lambda: trt)
    monkeypatch.setattr(Builder, "engine", lambda *given: b"plan")
    monkeypatch.setitem(sys.modules, "cupy", made.device.cupy())
    return made


def graph() -> TensorRtGraph:
    return TensorRtGraph(Path("g.onnx"), SPEC, "fp32")


def arrays(count: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random((count, width), np.float32) for width in (3, 2)]


both = pytest.mark.parametrize("engine", ["full", "rtx"], indirect=True)


@both
@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (2, [2]), (3, [4]), (5, [8]), (9, [12]), (12, [12]), (13, [12, 1]), (40, [12, 12, 12, 4])],
)
def test_a_batch_is_cut_to_captured_sizes(engine: Engine, count: int, sizes: list[int]) -> None:
    executor = graph()
    engine.device.ran.clear()
    given = arrays(count)
    with Stream(engine.device, "caller's"):
        [found] = executor(*given)
    np.testing.assert_allclose(found, sum(array.sum(1, keepdims=True) for array in given), rtol=1e-6)
    assert [size for _, size, _ in engine.device.ran] == sizes
    assert {where for where, _, _ in engine.device.ran} == {"caller's"}


@pytest.mark.parametrize(("engine", "how"), [("full", "graph"), ("rtx", "alone")], indirect=["engine"])
def test_tensorrt_replays_graphs_and_the_one_for_rtx_captures_by_itself(engine: Engine, how: str) -> None:
    executor = graph()
    assert [size for _, size, _ in engine.device.ran[:: tensorrt.WARM_UPS]] == [12, 8, 4, 2, 1]
    engine.device.ran.clear()
    executor(*arrays(7))
    assert engine.device.ran == [("default", 8, how)]


def test_contexts_share_one_piece_of_working_memory(engine: Engine) -> None:
    executor = graph()
    assert len(engine.contexts) == 5
    [scratch] = {context.scratch for context in engine.contexts}
    assert engine.device.memory[scratch].nbytes == 1000
    del executor


@both
def test_outputs_belong_to_the_caller(engine: Engine) -> None:
    executor = graph()
    [first] = executor(*arrays(4, 1))
    kept = first.copy()
    executor(*arrays(4, 2))
    np.testing.assert_array_equal(first, kept)


def test_a_context_without_room_is_missing_memory(engine: Engine) -> None:
    engine.room = 2
    with pytest.raises(MemoryError, match="execution context"):
        graph()


def test_an_engine_of_another_graph_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "get_tensor_name", lambda self, index: ("a", "c", "sum")[index])
        with pytest.raises(BundleError, match="the manifest names"):
            graph()
    monkeypatch.setattr(Engine, "get_tensor_dtype", lambda self, name: "half" if name == "sum" else "float")
    with pytest.raises(BundleError, match="tensor sum of the engine is not float32"):
        graph()
