"""A device that is not there: its tensors compute on the host, and refuse to be mixed with the host's.

As on a GPU, no operation takes tensors of both (but for host scalars of no dimension), NumPy sees none of
them, and what is asked for there lives there. It bears the name of a device that torch has no code of its
own for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

FAR = torch.device("lazy")


class FarTensor(Tensor):
    """A tensor of the device; `values` are its numbers, on the host."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "FarTensor":
        found: FarTensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, values.size(), strides=values.stride(), dtype=values.dtype, device=FAR
        )
        found.values = values
        return found

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(op, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert a tensor of a far device to numpy: copy it to the host first")

    def tolist(self) -> Any:
        return self.values.tolist()

    def new_tensor(self, data: Any, **options: Any) -> Any:
        return FarTensor(self.values.new_tensor(data, **options))


class Far(TorchDispatchMode):
    """While it is entered, the device is there."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0
        """Operations on the device."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = _run(op, args, kwargs or {})
        self.computed += any(isinstance(one, FarTensor) for one in tree_flatten((args, kwargs))[0])
        return found


def _run(op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    far = [one for one in given if isinstance(one, FarTensor)]
    asked = kwargs.get("device")
    there = bool(far) if asked is None else torch.device(asked).type == FAR.type
    moves = op in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if far and not moves:
        near = [one for one in given if not isinstance(one, FarTensor) and one.dim()]
        assert not near, f"{op} was given tensors of the host beside those of the device"
    if far or there:
        kwargs = {**kwargs, **({"device": torch.device("cpu")} if asked is not None else {})}
    known = {id(one.values): one for one in far}

    def on_device(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        return known[id(one)] if id(one) in known else FarTensor(one)

    found = op(*tree_map(_near, args), **tree_map(_near, kwargs))
    if op is torch.ops.aten.copy_.default:
        return args[0]
    if not there:
        return found
    return tree_map(on_device, found)


def _near(value: Any) -> Any:
    return value.values if isinstance(value, FarTensor) else value


@contextmanager
def far_device() -> Iterator[Far]:
    """Every command computes there, whatever device it is asked for."""
    autocast: Callable[..., Any] = torch.autocast

    def without(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if device_type == FAR.type else autocast(device_type, *args, **kwargs)

    tensor: Callable[..., Tensor] = torch.tensor

    def made(data: Any, device: Any = None, **options: Any) -> Tensor:
        found = tensor(data, **options)
        return found if device is None else found.to(device)

    with pytest.MonkeyPatch.context() as patch, Far() as mode:
        patch.setattr(torch, "autocast", without)
        patch.setattr(torch, "tensor", made)  # which asks no mode
        patch.setattr(torch, "inference_mode", torch.no_grad)  # which wrapped tensors know
        kinds = (f"kinds.{kind}.fit" for kind in ("plain", "baseline", "fusing", "apn", "lnp"))
        names = ("fit.device", "fit.distributed", "study.method", *kinds)
        for module in [import_module(f"assay.trainers.{name}") for name in names]:  # before any is changed
            patch.setattr(module, "device_of", lambda *_: FAR)
        yield mode
