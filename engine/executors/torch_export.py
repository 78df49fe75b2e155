"""Runs a bundle's optional torch.export programs (`.pt2`).

Loading such a file may unpickle what is in it, so only what is trusted is loaded: it must be named. Lower
precisions are torch's autocast, which leaves what needs float32 in float32. On a CPU the program runs as it
was exported: slower than OpenVINO, and good for comparing with it.
"""

from functools import partial
from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError
from assay.engine.executors.runtime import Runtime, titled
from assay.engine.executors.torch_graph import Device, TorchGraph, first_line, shapes_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def runtime(gpu: bool, batch: int) -> Runtime:
    """This executor."""
    title = f"{titled('torch', 'torch')} (torch.export)"
    if not gpu:
        return Runtime(title, TorchExportGraph)
    return Runtime(title, partial(TorchExportGraph, device="cuda"), ("fp16", "bf16"))


class TorchExportGraph(TorchGraph):
    """One graph of a bundle as a torch program on `device`; see `Executor`.

    Raises:
        BundleError: the bundle has no such program, or torch cannot load it or run it in this precision.
    """

    def __init__(self, file: Path, spec: GraphSpec, precision: str, device: Device = "cpu") -> None:
        if spec.program is None:
            raise BundleError(
                f"graph {file}: the bundle has no torch program (.pt2) of it; export it again with --pt2"
            )
        if precision not in DTYPES:
            raise BundleError(f"graph {file}: torch_export runs {', '.join(DTYPES)}, not {precision}")
        path = file.parent / spec.program.file
        try:
            program = torch.export.load(path)
            if device == "cuda":
                program = move_to_device_pass(program, "cuda")
            module = program.module()
        except Exception as error:  # whatever a zip archive, a pickle and a deserialiser raise
            raise BundleError(f"graph {path}: torch cannot load it: {first_line(error)}") from None
        _check(path, program, spec)
        lower = DTYPES[precision]
        super().__init__(module, shapes_of(spec), device, None if lower == torch.float32 else lower)


def _check(path: Path, program: torch.export.ExportedProgram, spec: GraphSpec) -> None:
    """Refuse a program that takes or gives another number of tensors than the manifest names."""
    signature = program.graph_signature
    found = (len(signature.user_inputs), len(signature.user_outputs))
    if found != (len(spec.inputs), len(spec.outputs)):
        raise BundleError(
            f"graph {path}: the program has {found[0]} inputs and {found[1]} outputs, the manifest names "
            f"{len(spec.inputs)} and {len(spec.outputs)}"
        )
