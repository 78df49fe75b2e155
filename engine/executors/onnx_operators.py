"""What ONNX's operators do, in torch: those that the graphs of Assay's bundles are made of.

Each function takes the node's inputs in order, None for one that is left out, and its attributes by name.
Values of shapes are lists and integers of Python, everything else is tensors.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from assay.engine.executors.onnx_shapes import (
    arange,
    cast,
    concat,
    constant_of_shape,
    expand,
    flatten,
    gather,
    pad,
    reshape,
    scatter_nd,
    shape,
    slices,
    split,
    squeeze,
    tile,
    transpose,
    unsqueeze,
)
from assay.engine.executors.onnx_windows import average_pool, conv, conv_transpose, max_pool

Ints = list[int]


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


def identity(x: Any) -> Any:
    return x


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
