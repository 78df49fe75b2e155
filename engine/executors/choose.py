"""Which executor runs a bundle's graphs, and in which precision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from assay.engine.bundle import Bundle, GraphSpec
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.executor import Executor
from assay.engine.settings import Settings


@dataclass(frozen=True)
class Runtime:
    """A way to run graphs on the device of this worker.

    make: an executor from a graph's ONNX file, its entry in the manifest and a precision.
    fast: precisions below fp32 that this device computes in, the fastest first.
    """

    title: str
    make: Callable[[Path, GraphSpec, str], Executor]
    fast: Sequence[str] = ()

    def precision(self, bundle: Bundle, graph: str, settings: Settings) -> str:
        """The precision that one graph runs in: what was asked for, or the fastest that was measured.

        Raises:
            BundleError: the precision asked for is not listed in the manifest.
        """
        offered = bundle.manifest.graphs[graph].precisions
        if settings.precision == "auto":
            return next((precision for precision in self.fast if precision in offered), "fp32")
        if settings.precision not in offered and not settings.allow_unmeasured:
            raise BundleError(
                f"bundle {bundle.path}: graph {graph!r} was not measured in {settings.precision} "
                f"(only in {', '.join(offered)}); choose one of these or allow unmeasured precisions"
            )
        return settings.precision


def choose(bundle: Bundle, settings: Settings) -> Runtime:
    """The executor that the settings name, else what is there: on a CPU OpenVINO, on a GPU TensorRT, or the
    bundle's torch programs where they may be loaded.

    Raises:
        SetupError: the executor does not run on the device, or is not installed.
    """
    gpu = bool(settings.devices)
    name: str = settings.executor
    if name == "auto":
        name = _best_on_gpu(bundle) if gpu else "openvino"
    if name == "openvino":
        if gpu:
            raise SetupError("the executor 'openvino' runs on CPUs: leave --devices out, or name another one")
        return _openvino(settings.batch)
    if name == "tensorrt":
        if not gpu:
            raise SetupError("the executor 'tensorrt' needs a GPU: name one with --devices")
        return _tensorrt()
    return _torch_export(gpu)


def _best_on_gpu(bundle: Bundle) -> str:
    from assay.engine.executors.tensorrt.executor import runs_here

    if runs_here():
        return "tensorrt"
    programs = all(graph.program for graph in bundle.manifest.graphs.values())
    if programs and bundle.ships and find_spec("torch"):
        return "torch_export"
    if programs and not bundle.ships:
        raise SetupError(
            f"no TensorRT runs on this GPU, and loading the torch programs of bundle {bundle.name!r} may run "
            "what is in them; if you trust it, name the executor: --executor torch_export"
        )
    raise SetupError(
        f"nothing runs bundle {bundle.name!r} on this GPU: install TensorRT (pip install 'assay[tensorrt]'), "
        "or export the bundle with --pt2 and install torch"
    )


def _openvino(batch: int) -> Runtime:
    from assay.engine.executors import openvino

    can = {"int8": openvino.computes_int8(), "bf16": openvino.computes_bf16()}
    fast = [precision for precision, computed in can.items() if computed]
    return Runtime(_title("OpenVINO", "openvino"), partial(openvino.OpenVinoGraph, most=batch), fast)


def _tensorrt() -> Runtime:
    from assay.engine.executors.tensorrt.executor import TensorRtGraph
    from assay.engine.executors.tensorrt.library import library, title

    return Runtime(title(library()), TensorRtGraph, ("fp16", "bf16"))


def _torch_export(gpu: bool) -> Runtime:
    if not find_spec("torch"):
        raise SetupError("the executor 'torch_export' needs torch, which is not installed: pip install torch")
    from assay.engine.executors.torch_export import TorchExportGraph

    title = _title("torch", "torch")
    if not gpu:
        return Runtime(title, TorchExportGraph)
    return Runtime(title, partial(TorchExportGraph, device="cuda"), ("fp16", "bf16"))


def _title(name: str, distribution: str) -> str:
    try:
        return f"{name} {version(distribution)}"
    except PackageNotFoundError:
        return name
