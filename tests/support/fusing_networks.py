"""Fusing networks for tests: random weights, but logits that differ between images."""

import torch
from support.fusing import SIZES, Pixels, resized
from torch import Tensor, nn

from assay.kernels import ViewRule, view
from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.fusing.run import Backbone

RULE = ViewRule(resize="short_side", size=224, crop="centre", mean=MEAN, std=STD)


def lively(backbone: Backbone = "resnet18") -> Fusing:
    """A network in eval mode whose batch statistics fit photographs and whose logits spread over -3..3.

    Random weights alone give every image the same answer, which would agree with anything.
    """
    torch.manual_seed(7)
    network = Fusing(backbone)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # keep the mean over the batches seen
    images = [resized(*size, seed) for seed, size in enumerate(SIZES[::2])]
    with torch.inference_mode():
        network(*inputs(images))
        network.eval()
        for scale in (network.fc1, network.fc):
            outputs: list[Tensor] = []
            hook = scale.register_forward_hook(
                lambda layer, given, output, outputs=outputs: outputs.append(output)
            )
            network(*inputs(images))
            hook.remove()
            together = torch.cat(outputs)
            spread = together.std(dim=0).clamp_min(1e-4)
            scale.bias -= together.mean(dim=0)
            scale.bias *= 2 / spread
            scale.weight *= 2 / spread[:, None]
    return network


def published_layout(trunk: dict[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Random weights under the names and in the shapes of the published code."""
    shapes = {"fc1.weight": (128, channels), "fc1.bias": (128,), "fc.weight": (1, 128), "fc.bias": (1,)}
    for layer in range(3):
        name = f"mha_list.{layer}."
        shapes |= {f"{name}mha.in_proj_weight": (384, 128), f"{name}mha.in_proj_bias": (384,)}
        shapes |= {f"{name}mha.out_proj.weight": (128, 128), f"{name}mha.out_proj.bias": (128,)}
        for part in ("fc1", "fc2"):
            shapes |= {f"{name}{part}.weight": (128, 128), f"{name}{part}.bias": (128,)}
        for part in ("ln1", "ln2"):
            shapes |= {f"{name}{part}.weight": (128,), f"{name}{part}.bias": (128,)}
    random = torch.Generator().manual_seed(1)
    state = {
        f"resnet.{name}": torch.rand(value.shape, generator=random).to(value.dtype)
        for name, value in trunk.items()
    }
    return state | {name: torch.rand(shape, generator=random) for name, shape in shapes.items()}


def _outputs(layer: nn.Module, network: Fusing, images: list[Pixels]) -> Tensor:
    """What `layer` puts out, in one or several calls, where `network` scores `images`."""
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda layer, given, output: outputs.append(output))
    network(*inputs(images))
    hook.remove()
    return torch.cat(outputs)


def inputs(images: list[Pixels]) -> tuple[list[Tensor], Tensor]:
    """uint8 photographs as `forward` takes them: normalised originals and their views."""
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    originals = [(torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std for image in images]
    return originals, torch.from_numpy(view(images, RULE))
