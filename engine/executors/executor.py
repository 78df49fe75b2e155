"""What an executor is: a graph of a bundle, made ready to run on one device in one precision."""

from typing import Protocol

from assay.kernels.arrays import Array


class Executor(Protocol):
    """Runs one graph.

    Made from the graph's ONNX file, its entry in the manifest and a precision; making it raises BundleError
    where the file cannot be run, with a sentence that says why.
    """

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Inputs in the manifest's order, each (N, ...) float32, any N -> its outputs, each (N, ...) float32.

        NumPy arrays for an executor of the CPU, CuPy arrays for one of a GPU, which works on the caller's
        stream without waiting for it. Outputs are the caller's: no later call writes to them. Inputs are
        left as they are.

        Raises:
            MemoryError: the device has no room for so large a batch.
        """
        ...
