"""The weights of a torchvision network out of an exported graph, as training can go on from them.

An export folds batch normalisation into the convolutions. The weights that come back have it as a mere shift,
so its statistics must be held while training goes on: those of a batch would undo what was learnt.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from assay.engine.errors import SetupError


def read_graph(network: nn.Module, file: Path) -> dict[str, Tensor]:
    """The state of `network`, its head left out, out of an ONNX `file` that was exported from one like it.

    Raises SetupError where the file is no such graph.
    """
    import onnx

    try:
        graph = onnx.load(file).graph
    except Exception as error:  # protobuf raises whatever it likes
        raise SetupError(f"{file} is not an ONNX graph that can be read: {error}") from error
    stored = {one.name: torch.tensor(onnx.numpy_helper.to_array(one)) for one in graph.initializer}
    folded = {
        node.input[1].removeprefix("network."): node.input for node in graph.node if node.op_type == "Conv"
    }
    layers = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    state: dict[str, Tensor] = {}
    convolution = ""
    for name, layer in layers:
        if isinstance(layer, nn.Conv2d):
            convolution = f"{name}.weight"
        elif isinstance(layer, nn.BatchNorm2d):
            inputs = folded.get(convolution)
            if inputs is None or len(inputs) != 3:
                raise SetupError(
                    f"{file} is not this backbone with its normalisation folded: no {convolution}"
                )
            state[convolution] = stored[inputs[1]]
            state |= _shift(name, stored[inputs[2]], layer.eps)
    return state


def hold_statistics(module: nn.Module) -> None:
    """Puts all batch normalisation into eval mode: statistics stay, scale and shift may still be learnt."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def _shift(name: str, bias: Tensor, eps: float) -> dict[str, Tensor]:
    """The state of a batch normalisation, called `name`, that in eval mode adds `bias`."""
    ones = torch.ones_like(bias)
    return {
        f"{name}.weight": ones,
        f"{name}.bias": bias,
        f"{name}.running_mean": torch.zeros_like(bias),
        f"{name}.running_var": ones - eps,
        f"{name}.num_batches_tracked": torch.tensor(0),
    }
