"""CycleISP's denoising network stated once more, plainly: by its published names, in float64, no modules."""

import torch
from torch import Tensor
from torch.nn import functional

WIDTH = 64


def random_weights(rrg: int, dab: int, seed: int = 0) -> dict[str, Tensor]:
    """Random float32 weights under the published names; every PReLU holds the same 64 slopes."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    slopes = torch.rand(WIDTH, generator=random) / 2

    def convolution(name: str, before: int, after: int, kernel: int, bias: bool = True) -> None:
        spread = (before * kernel * kernel) ** -0.5
        state[f"{name}.weight"] = torch.randn(after, before, kernel, kernel, generator=random) * spread
        if bias:
            state[f"{name}.bias"] = torch.randn(after, generator=random) / 10

    convolution("head.0", 3, WIDTH, 3)
    for r in range(rrg):
        for d in range(dab):
            block = f"body.{r}.body.{d}"
            convolution(f"{block}.SA.spatial.conv", 2, 1, 3, bias=False)
            convolution(f"{block}.CA.conv_du.0", WIDTH, 4, 1)
            convolution(f"{block}.CA.conv_du.2", 4, WIDTH, 1)
            convolution(f"{block}.body.0", WIDTH, WIDTH, 3)
            state[f"{block}.body.1.weight"] = slopes.clone()
            convolution(f"{block}.body.2", WIDTH, WIDTH, 3)
            convolution(f"{block}.conv1x1", 2 * WIDTH, WIDTH, 1)
        convolution(f"body.{r}.body.{dab}", WIDTH, WIDTH, 3)
    convolution(f"body.{rrg}", WIDTH, WIDTH, 3)
    state[f"body.{rrg + 1}.weight"] = slopes.clone()
    convolution("tail.0", WIDTH, 3, 3)
    return state


def denoised(weights: dict[str, Tensor], images: Tensor, rrg: int, dab: int) -> Tensor:
    """The denoised images, in float64: images plus the network's correction."""
    state = {name: value.double() for name, value in weights.items()}
    images = images.double()

    def convolution(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def prelu(name: str, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, x * state[f"{name}.weight"][:, None, None])

    def sigmoid(x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-x))

    x = convolution("head.0", images)
    for r in range(rrg):
        group = x
        for d in range(dab):
            block = f"body.{r}.body.{d}"
            y = convolution(f"{block}.body.0", group)
            y = convolution(f"{block}.body.2", prelu(f"{block}.body.1", y))
            places = torch.stack([y.max(dim=1).values, y.mean(dim=1)], dim=1)
            by_place = y * sigmoid(convolution(f"{block}.SA.spatial.conv", places))
            means = y.mean(dim=(2, 3))[:, :, None, None]
            squeezed = convolution(f"{block}.CA.conv_du.0", means).clamp(min=0)
            by_channel = y * sigmoid(convolution(f"{block}.CA.conv_du.2", squeezed))
            group = convolution(f"{block}.conv1x1", torch.cat([by_place, by_channel], dim=1)) + group
        x = convolution(f"body.{r}.body.{dab}", group) + x
    x = prelu(f"body.{rrg + 1}", convolution(f"body.{rrg}", x))
    return images + convolution("tail.0", x)
