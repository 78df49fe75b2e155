"""TensorRT's Python interface under the names that it may be installed as."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from assay.engine.errors import SetupError

FULL = ("tensorrt",)
RTX = ("tensorrt_rtx", "tensorrt_rtx_bindings")


def library(names: tuple[str, ...] = FULL + RTX) -> ModuleType:
    """The first of these modules that is installed.

    Raises:
        SetupError: none is, or its libraries do not load.
    """
    for name in names:
        if find_spec(name):
            try:
                return import_module(name)
            except (ImportError, OSError) as error:
                raise SetupError(f"{name} is installed but does not load: {error}") from None
    wanted = [
        *(["TensorRT (pip install 'assay[tensorrt]')"] if FULL[0] in names else []),
        *(["TensorRT for RTX (pip install 'assay[gpu]')"] if RTX[0] in names else []),
    ]
    raise SetupError(f"this needs {' or '.join(wanted)}, which is not installed")


def for_rtx(trt: ModuleType) -> bool:
    """Whether this is TensorRT for RTX, which finishes an engine on the GPU that runs it."""
    return hasattr(trt, "CudaGraphStrategy")


def title(trt: ModuleType) -> str:
    """Name and version."""
    return f"{'TensorRT for RTX' if for_rtx(trt) else 'TensorRT'} {trt.__version__}"
