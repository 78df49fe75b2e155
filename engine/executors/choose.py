"""Which executor runs the graphs of bundles."""

from assay.engine.errors import SetupError
from assay.engine.executors.runtime import Runtime
from assay.engine.installed import Choice, installed
from assay.engine.registry import EXECUTORS, named
from assay.engine.settings import Settings


def choose(settings: Settings) -> Runtime:
    """The executor that the settings name, else the best that is there.

    Raises:
        SetupError: the executor does not run on the device, or is not installed.
    """
    name = chosen(settings).name
    runtime: Runtime = named(EXECUTORS, name, "executor")(bool(settings.devices), settings.batch)
    return runtime


def chosen(settings: Settings) -> Choice:
    """The executor's name and why it is that one: the one that the settings name, else on a CPU OpenVINO, on
    a GPU TensorRT where it knows the GPU, then torch, then ONNX Runtime.

    Raises:
        SetupError: nothing is installed that runs graphs on the GPU.
    """
    if settings.executor != "auto":
        return Choice(settings.executor, f"setting `executor` is {settings.executor}")
    if not settings.devices:
        return Choice("openvino", "OpenVINO runs graphs on CPU cores")
    from assay.engine.executors.tensorrt.executor import runs_here

    if runs_here():
        return Choice("tensorrt", "TensorRT is installed and knows this GPU")
    why = "no TensorRT runs on this GPU, and "
    if torch_sees_gpu():
        return Choice("torch", f"{why}torch is installed for it: it converts the bundle's ONNX graphs")
    if onnxruntime_sees_gpu():
        return Choice("onnxruntime", f"{why}neither does torch; ONNX Runtime is installed for CUDA")
    raise SetupError(
        "nothing runs graphs on this GPU: no TensorRT that knows it is installed, nor torch for CUDA "
        "(pip install 'assay[gpu]' brings torch)"
    )


def torch_sees_gpu() -> bool:
    """Whether torch is installed, and for CUDA."""
    if not installed("torch") or not installed("onnx"):
        return False
    import torch

    return torch.cuda.is_available()


def onnxruntime_sees_gpu() -> bool:
    """Whether ONNX Runtime is installed with its CUDA provider."""
    if not installed("onnxruntime"):
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
