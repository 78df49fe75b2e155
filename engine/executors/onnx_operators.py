"""What ONNX's operators do, in torch: those that the graphs of Assay's bundles are made of.

Each function takes the node's inputs in order, None for one that is left out, and its attributes by name.
Values of shapes are lists and integers of Python, everything else is tensors.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Ints = list[int]


def _padding(x: Tensor, pads: Ints | None, spatial: int, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The tensor and the padding left to do: torch pads alike on both sides, ONNX need not."""
    pads = list(pads or [0] * 2 * spatial)
    before, after = pads[:spatial], pads[spatial:]
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
    before, after = list(pads or none + none)[:spatial], list(pads or none + none)[spatial:]
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
    before, after = list(pads or [0] * 2 * spatial)[:spatial], list(pads or [0] * 2 * spatial)[spatial:]
    if before != after:
        raise ValueError("it pads unlike on both sides")
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[spatial - 1]
    return pool(x, kernel_shape, strides or [1] * spatial, before, bool(ceil_mode), bool(count_include_pad))


def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensor:
    if training_mode:
        raise ValueError("it is in training mode")
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)


def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    shape = x.shape[axis:]
    return F.layer_norm(x, shape, scale.expand(shape), None if bias is None else bias.expand(shape), epsilon)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    a, b = a.T if transA else a, b.T if transB else b
    if c is None:
        return alpha * (a @ b) if alpha != 1 else a @ b
    return torch.addmm(c, a, b, alpha=alpha, beta=beta)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return x.softmax(axis)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    return x if low is None and high is None else x.clamp(low, high)


def divide(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and a.is_floating_point():
        return a / b
    if isinstance(a, Tensor):
        return torch.div(a, b, rounding_mode="trunc")
    return _each(lambda one, other: int(one / other), a, b)


def _arithmetic(tensors: Callable[[Any, Any], Any], numbers: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def call(a: Any, b: Any) -> Any:
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            return tensors(a, b)
        return _each(numbers, a, b)

    return call


def _each(call: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """`call` on numbers, or on each pair where one or both are lists."""
    if not isinstance(a, list) and not isinstance(b, list):
        return call(a, b)
    count = max(len(side) for side in (a, b) if isinstance(side, list))
    many = [side * count if isinstance(side, list) and len(side) == 1 else side for side in (a, b)]
    left, right = (side if isinstance(side, list) else [side] * count for side in many)
    return [call(one, other) for one, other in zip(left, right, strict=True)]


add = _arithmetic(torch.add, lambda a, b: a + b)
subtract = _arithmetic(torch.sub, lambda a, b: a - b)
multiply = _arithmetic(torch.mul, lambda a, b: a * b)


def _fold(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def folded(first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = call(first, other)
        return first

    return folded


maximum, minimum, total = _fold(torch.maximum), _fold(torch.minimum), _fold(torch.add)


def _reduction(call: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def reduced(
        x: Tensor,
        given: list[int] | None = None,
        *,
        axes: Ints | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        over = list(axes or given or [])
        if not over and noop_with_empty_axes:
            return x
        return call(x, over or list(range(x.ndim)), bool(keepdims))

    return reduced


reduce_mean = _reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep))
reduce_sum = _reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep))
reduce_max = _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep))
reduce_min = _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep))
reduce_l2 = _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep))
reduce_l1 = _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep))


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> list[int]:
    return list(x.shape[start:end])


def reshape(x: Tensor, to: list[int], *, allowzero: int = 0) -> Tensor:
    return x.reshape(
        [x.shape[axis] if length == 0 and not allowzero else length for axis, length in enumerate(to)]
    )


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape([int(torch.Size(x.shape[:axis]).numel()), -1])


def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    return x.permute(list(perm) if perm else list(range(x.ndim))[::-1])


def unsqueeze(x: Any, axes: list[int]) -> Any:
    if not isinstance(x, Tensor):
        return [x]
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Any, axes: list[int] | None = None) -> Any:
    if not isinstance(x, Tensor):
        return x[0]
    return x.squeeze() if axes is None else x.squeeze(axes)


def concat(*parts: Any, axis: int) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts, axis)
    return [number for part in parts for number in part]


def split(
    x: Tensor, sizes: list[int] | None = None, *, axis: int = 0, num_outputs: int = 0
) -> tuple[Tensor, ...]:
    if sizes is None:
        return torch.split(x, -(-x.shape[axis] // num_outputs), axis)
    return torch.split(x, sizes, axis)


def slices(
    x: Any, starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None
) -> Any:
    steps = steps or [1] * len(starts)
    if not isinstance(x, Tensor):
        return x[starts[0] : ends[0] : steps[0]]
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        if step < 0:
            places = list(range(x.shape[axis]))[start : end if end >= -x.shape[axis] else None : step]
            if places != list(range(x.shape[axis]))[::-1]:
                raise ValueError("it reverses a part of an axis")
            x = x.flip(axis)
        else:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(start, end, step),)]
    return x


def gather(x: Any, index: Any, *, axis: int = 0) -> Any:
    if not isinstance(x, Tensor):
        return [x[place] for place in index] if isinstance(index, list) else x[index]
    if isinstance(index, int):
        return x.select(axis, index)
    axis %= x.ndim
    found = x.index_select(axis, torch.where(index < 0, index + x.shape[axis], index).reshape(-1))
    return found.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    if reduction != "none":
        raise ValueError(f"it reduces by {reduction}")
    return x.index_put(tuple(indices.unbind(-1)), updates)


def expand(x: Tensor, to: list[int]) -> Tensor:
    ones = [1] * (x.ndim - len(to)) + to
    shape = [1] * (len(ones) - x.ndim) + list(x.shape)
    return x.expand([max(pair) for pair in zip(ones, shape, strict=True)])


def tile(x: Tensor, repeats: list[int]) -> Tensor:
    return x.repeat(repeats)


def pad(
    x: Tensor, pads: list[int], value: Any = None, axes: list[int] | None = None, *, mode: str = "constant"
) -> Tensor:
    ends = {
        axis % x.ndim: (pads[place], pads[place + len(pads) // 2])
        for place, axis in enumerate(axes or range(x.ndim))
    }
    first = min((axis for axis, both in ends.items() if any(both)), default=x.ndim)
    pairs = [length for axis in range(x.ndim - 1, first - 1, -1) for length in ends.get(axis, (0, 0))]
    kinds = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    if not pairs:
        return x
    if mode == "constant":
        return F.pad(x, pairs, value=0 if value is None else value)
    return F.pad(x, pairs, mode=kinds[mode])


def constant_of_shape(to: list[int], *, value: Tensor | None = None, device: str) -> Tensor:
    if value is None:
        return torch.zeros(to, device=device)
    return torch.full(to, value.item(), dtype=value.dtype, device=device)


def arange(start: int, end: int, step: int, *, device: str) -> Tensor:
    return torch.arange(start, end, step, device=device)


def cast(x: Any, *, to: torch.dtype, saturate: int = 1) -> Any:
    return x.to(to) if isinstance(x, Tensor) else x


def identity(x: Any) -> Any:
    return x


def _explicit(auto_pad: str) -> None:
    if auto_pad != "NOTSET":
        raise ValueError(f"its padding is {auto_pad}, not given in numbers")


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Add": add,
    "And": torch.logical_and,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Clip": clip,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Cos": torch.cos,
    "Div": divide,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Expand": expand,
    "Flatten": flatten,
    "Floor": torch.floor,
    "Gather": gather,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "HardSigmoid": lambda x, *, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
    "HardSwish": F.hardswish,
    "Identity": identity,
    "LayerNormalization": layer_normalization,
    "LeakyRelu": leaky_relu,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Max": maximum,
    "MaxPool": max_pool,
    "Min": minimum,
    "Mul": multiply,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "PRelu": prelu,
    "Pad": pad,
    "Pow": torch.pow,
    "Range": arange,
    "Reciprocal": torch.reciprocal,
    "ReduceL1": reduce_l1,
    "ReduceL2": reduce_l2,
    "ReduceMax": reduce_max,
    "ReduceMean": reduce_mean,
    "ReduceMin": reduce_min,
    "ReduceSum": reduce_sum,
    "Relu": torch.relu,
    "Reshape": reshape,
    "ScatterND": scatter_nd,
    "Shape": shape,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Slice": slices,
    "Softmax": softmax,
    "Split": split,
    "Sqrt": torch.sqrt,
    "Squeeze": squeeze,
    "Sub": subtract,
    "Sum": total,
    "Tanh": torch.tanh,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Where": torch.where,
}
