"""ONNX's operators that slide a window: convolutions and pools, in torch; see `onnx_operators`."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Ints = list[int]


def _sides(pads: Ints | None, spatial: int) -> tuple[Ints, Ints]:
    """The padding of each axis, before and after."""
    pads = list(pads or [0] * 2 * spatial)
    return pads[:spatial], pads[spatial:]


def _padding(x: Tensor, pads: Ints | None, spatial: int, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The tensor and the padding left to do: torch pads alike on both sides, ONNX need not."""
    before, after = _sides(pads, spatial)
    if before == after:
        return x, before
    pairs = [pad for both in zip(reversed(before), reversed(after), strict=True) for pad in both]
    return F.pad(x, pairs, value=value), [0] * spatial


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Ints | None = None,
    pads: Ints | None = None,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    auto_pad: str = "NOTSET",
) -> Tensor:
    _explicit(auto_pad)
    spatial = weight.ndim - 2
    ones = [1] * spatial
    x, padding = _padding(x, pads, spatial)
    return torch.convolution(
        x, weight, bias, strides or ones, padding, dilations or ones, False, [0] * spatial, group
    )


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Ints | None = None,
    pads: Ints | None = None,
    dilations: Ints | None = None,
    output_padding: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    auto_pad: str = "NOTSET",
) -> Tensor:
    _explicit(auto_pad)
    spatial = weight.ndim - 2
    ones, none = [1] * spatial, [0] * spatial
    before, after = _sides(pads, spatial)
    if before != after:
        raise ValueError("it crops unlike on both sides")
    return torch.convolution(
        x, weight, bias, strides or ones, before, dilations or ones, True, output_padding or none, group
    )


def max_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    strides: Ints | None = None,
    pads: Ints | None = None,
    dilations: Ints | None = None,
    ceil_mode: int = 0,
    storage_order: int = 0,
    auto_pad: str = "NOTSET",
) -> Tensor:
    _explicit(auto_pad)
    ones = [1] * len(kernel_shape)
    x, padding = _padding(x, pads, len(kernel_shape), -float("inf"))
    pool: Callable[..., Tensor] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel_shape) - 1]
    pooled: Tensor = pool(x, kernel_shape, strides or ones, padding, dilations or ones, bool(ceil_mode))
    return pooled


def average_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    strides: Ints | None = None,
    pads: Ints | None = None,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    auto_pad: str = "NOTSET",
) -> Tensor:
    _explicit(auto_pad)
    spatial = len(kernel_shape)
    before, after = _sides(pads, spatial)
    if before != after:
        raise ValueError("it pads unlike on both sides")
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[spatial - 1]
    return pool(x, kernel_shape, strides or [1] * spatial, before, bool(ceil_mode), bool(count_include_pad))


def _explicit(auto_pad: str) -> None:
    if auto_pad != "NOTSET":
        raise ValueError(f"its padding is {auto_pad}, not given in numbers")
