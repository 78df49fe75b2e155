"""A small bundle that every executor can run, and the executors, each with what a test needs to call it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.engine.bundle import Bundle, GraphSpec, Manifest, Thresholds
from assay.engine.executors.executor import Executor
from assay.engine.executors.onnxruntime import OnnxRuntimeGraph
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.torch_export import TorchExportGraph
from assay.engine.executors.torch_onnx import TorchOnnxGraph
from assay.kernels import ViewRule
from assay.trainers.export.bundle import export_bundle

SIDE = 16


class TwoByTwo(nn.Module):
    """Two inputs, two outputs of different shapes; convolution, normalisation, softmax and a product."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 + 5, 4)

    def forward(self, image: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.norm(self.conv(image)).relu().mean(dim=(2, 3))
        scores = self.head(torch.cat([pooled, extra], dim=1))
        return scores.sum(dim=1, keepdim=True), scores.softmax(dim=1)


def spec() -> GraphSpec:
    return GraphSpec(
        file="classify.onnx",
        sha256="",
        inputs={"image": ("N", 3, SIDE, SIDE), "extra": ("N", 5)},
        outputs={"logit": ("N", 1), "shares": ("N", 4)},
    )


def bundle(folder: Path) -> Bundle:
    """The network as ONNX and as a torch program."""
    manifest = Manifest(
        schema_=1,
        kind="plain",
        name="two-by-two",
        version="1.0.0",
        licence="Apache-2.0",
        view=ViewRule(resize="exact", size=SIDE, crop="centre", mean=(0, 0, 0), std=(1, 1, 1)),
        min_side=8,
        graphs={"classify": spec()},
        thresholds=Thresholds(synthetic=0.8, authentic=0.2),
    )
    return export_bundle({"classify": TwoByTwo()}, manifest, folder, programs=True)


def inputs(count: int, seed: int = 0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((count, *map(int, shape[1:]))).astype(np.float32)
        for shape in spec().inputs.values()
    ]


def oracle(arrays: list[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """What the network gives in float64."""
    with torch.inference_mode():
        outputs = TwoByTwo().double().eval()(*(torch.from_numpy(array).double() for array in arrays))
    return [output.numpy() for output in outputs]


@dataclass(frozen=True)
class Candidate:
    """An executor in one precision: how it is made, where its arrays live, and how far it may be off."""

    name: str
    make: Callable[[Path, GraphSpec, str], Executor]
    precision: str
    tolerance: float
    on_gpu: bool = False

    def arrays(self, host: list[NDArray[np.float32]]) -> list[Any]:
        if not self.on_gpu:
            return list(host)
        import cupy

        return [cupy.asarray(array) for array in host]


emulated = partial(TorchOnnxGraph, emulate=True)
CPU = [
    Candidate("openvino fp32", OpenVinoGraph, "fp32", 1e-5),
    Candidate("torch_export fp32", TorchExportGraph, "fp32", 1e-5),
    Candidate("torch_export bf16", TorchExportGraph, "bf16", 0.1),
    Candidate("torch fp32", TorchOnnxGraph, "fp32", 1e-5),
    Candidate("torch bf16", TorchOnnxGraph, "bf16", 0.1),
    Candidate("torch fp16", TorchOnnxGraph, "fp16", 0.02),
    Candidate("torch fp16 emulated", emulated, "fp16", 0.02),
    Candidate("onnxruntime fp32", OnnxRuntimeGraph, "fp32", 1e-5),
    Candidate("onnxruntime fp16", OnnxRuntimeGraph, "fp16", 0.02),
]


def host(array: Any) -> NDArray[np.float32]:
    """The values of a NumPy or CuPy array."""
    values: NDArray[np.float32] = array if isinstance(array, np.ndarray) else array.get()
    return values
