"""Runs a bundle's ONNX graphs with torch: what a GPU has where no TensorRT knows it.

A graph is converted when it is loaded (`onnx_torch.py`), so that nothing of a bundle has to be trusted. Lower
precisions are written into the graph (`lowering.py`), as for TensorRT. Without a GPU a lower precision may be
emulated: that is how a bundle can be measured in fp16 where nothing computes in fp16.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onnx
import torch
from torch import nn

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError
from assay.engine.executors.lowering import TYPES, lowered
from assay.engine.executors.onnx_torch import torch_module
from assay.engine.executors.runtime import Runtime, titled
from assay.engine.executors.torch_graph import Device, TorchGraph, first_line, shapes_of

PRECISIONS = ("fp32", *TYPES)


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor; on a CPU slower than OpenVINO, and good for comparing with it."""
    title = titled("torch", "torch")
    if not gpu:
        return Runtime(title, TorchOnnxGraph, lowers=True)
    return Runtime(title, partial(TorchOnnxGraph, device="cuda"), ("fp16", "bf16"), lowers=True)


class TorchOnnxGraph(TorchGraph):
    """One ONNX graph of a bundle by torch on `device`; see `Executor`.

    emulate: compute in float32, and round after each operator as `precision` does.

    Raises:
        BundleError: the file is no graph, has other tensors than the manifest names, or an operator that is
            not known.
        SetupError: the graph cannot be converted to this precision.
    """

    def __init__(
        self, file: Path, spec: GraphSpec, precision: str, device: Device = "cpu", emulate: bool = False
    ) -> None:
        if precision not in PRECISIONS:
            raise BundleError(f"graph {file}: torch runs {', '.join(PRECISIONS)}, not {precision}")
        model = _read(file, spec)
        if precision != "fp32":
            model = lowered(model, precision)
        shapes = shapes_of(spec)
        super().__init__(_converted(model, file, shapes, device, emulate), shapes, device)


def _read(file: Path, spec: GraphSpec) -> onnx.ModelProto:
    """The graph with its inputs and outputs in the manifest's order."""
    try:
        model = onnx.load_model_from_string(file.read_bytes())  # opens no other file
    except Exception as error:  # of protobuf, which has no common base
        raise BundleError(f"graph {file}: it is no ONNX graph: {first_line(error)}") from None
    weights = {tensor.name for tensor in model.graph.initializer}
    for what, values, named in (
        ("input", model.graph.input, spec.inputs),
        ("output", model.graph.output, spec.outputs),
    ):
        found = {value.name: value for value in values if value.name not in weights}
        if found.keys() != named.keys():
            raise BundleError(
                f"graph {file}: the manifest names {what} {sorted(named)}, the graph has {sorted(found)}"
            )
        ordered = [found[name] for name in named]
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in ordered]
        values.clear()
        values.extend(kept)
    return model


def _converted(
    model: onnx.ModelProto, file: Path, shapes: Sequence[tuple[int, ...]], device: str, emulate: bool
) -> nn.Module:
    try:
        module = torch_module(model, device, emulate)
        with torch.no_grad():  # what a graph makes of an operator is known when it runs
            module(*(torch.zeros((1, *shape), device=device) for shape in shapes))
        return module
    except torch.OutOfMemoryError as error:
        raise MemoryError(first_line(error)) from None
    except Exception as error:  # checkers of ONNX have exceptions of their own
        raise BundleError(f"graph {file}: torch cannot run it: {first_line(error)}") from None
