"""The network of a one-view bundle as torchvision has it, for the peer that is plain torch."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torchvision.models import mobilenet_v2

from assay.bench.peers.network import Calibrated, Views, read_manifest


class TorchNetwork:
    """Encoded JPEGs -> probabilities; "best" is bfloat16 with channels last."""

    def __init__(self, bundle: Path, precision: str) -> None:
        torch.set_num_threads(1)
        manifest = read_manifest(bundle)
        self._views, self._calibrated = Views(manifest), Calibrated(manifest)
        self._type = torch.bfloat16 if precision == "best" else torch.float32
        network = folded(bundle / manifest["graphs"]["classify"]["file"])
        self._network = network.to(self._type, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: list[bytes]) -> list[float]:
        views = torch.from_numpy(self._views(images))
        logits = self._network(views.to(self._type, memory_format=torch.channels_last))
        return self._calibrated(logits.float().reshape(-1).numpy())


def folded(file: Path) -> nn.Module:
    """torchvision's MobileNetV2 with the weights of a graph in which batch norms are part of convolutions."""
    network: nn.Module = mobilenet_v2(num_classes=1).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    graph = onnx.load(file).graph
    weights = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    nodes = iter([node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")])
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            _, weight, *bias = next(nodes).input
            layer.weight = nn.Parameter(weights[weight])
            layer.bias = nn.Parameter(weights[bias[0]])
    return network
