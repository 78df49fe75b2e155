"""Which executor runs a bundle's graphs."""

from importlib.util import find_spec

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.engine.executors.runtime import Runtime
from assay.engine.registry import EXECUTORS, named
from assay.engine.settings import Settings


def choose(bundle: Bundle, settings: Settings) -> Runtime:
    """The executor that the settings name, else what is there: on a CPU OpenVINO, on a GPU TensorRT, or the
    bundle's torch programs where they may be loaded.

    Raises:
        SetupError: the executor does not run on the device, or is not installed.
    """
    gpu = bool(settings.devices)
    name = settings.executor
    if name == "auto":
        name = _best_on_gpu(bundle) if gpu else "openvino"
    runtime: Runtime = named(EXECUTORS, name, "executor")(gpu, settings.batch)
    return runtime


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
