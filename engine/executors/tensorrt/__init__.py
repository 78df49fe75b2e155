"""TensorRT and TensorRT for RTX: the library, the builder, the executor."""

from assay.engine.errors import SetupError
from assay.engine.executors.runtime import Runtime


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor. Raises SetupError without a GPU, or where no TensorRT is installed."""
    if not gpu:
        raise SetupError("the executor 'tensorrt' needs a GPU: name it with --devices, or --device")
    from assay.engine.executors.tensorrt.executor import TensorRtGraph
    from assay.engine.executors.tensorrt.library import library, title

    return Runtime(title(library()), TensorRtGraph, ("fp16", "bf16"), lowers=True)
