"""ONNX's operators that move values and compute nothing with them, in torch; see `onnx_operators`."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Ints = list[int]


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
