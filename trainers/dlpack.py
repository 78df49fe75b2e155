"""Torch's one way to the kernels: tensors share their memory with arrays, on torch's device and stream.

Gradients do not pass: kernels choose indices and cut pixels.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from assay.kernels.arrays import Array
from assay.trainers.torch_forms import FORMS

_CPU = torch.device("cpu")


def call(kernel: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """`kernel(*arguments, **options)` with tensors in the place of arrays, in lists and tuples too.

    Tensors on the CPU are seen as NumPy arrays, those on a CUDA device as CuPy arrays, without a copy where
    they are contiguous. On another device, or without CuPy, the kernel's form in torch runs, or, where there
    is none, the kernel on copies on the host. All must live on one device; what comes back lives there,
    detached.
    """
    device = _device((arguments, options))
    if device is None or device.type == "cpu":
        return _to_tensors(kernel(*_to_arrays(arguments), **_to_arrays(options)))
    if not shared(device):
        if form := FORMS.get(kernel):
            with torch.no_grad():
                return form(*arguments, **options)
        there = call(kernel, *_moved(arguments, _CPU), **_moved(options, _CPU))
        return _moved(there, device)
    import cupy

    stream = torch.cuda.current_stream(device)
    with cupy.cuda.Device(device.index), cupy.cuda.ExternalStream(stream.cuda_stream, device.index):
        return _to_tensors(kernel(*_to_arrays(arguments), **_to_arrays(options)))


def shared(device: torch.device) -> bool:
    """Whether kernels run where tensors of that device live, without a copy."""
    return device.type == "cpu" or (device.type == "cuda" and find_spec("cupy") is not None)


def _moved(value: Any, device: torch.device) -> Any:
    return (
        value.detach().to(device) if isinstance(value, Tensor) else _each(value, lambda v: _moved(v, device))
    )


def _device(value: Any) -> torch.device | None:
    """The device of the first tensor in `value`."""
    if isinstance(value, Tensor):
        return value.device
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((device for part in parts if (device := _device(part)) is not None), None)


def _to_arrays(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _to_array(value.detach().contiguous())
    return _each(value, _to_arrays)


def _to_array(tensor: Tensor) -> Array:
    if tensor.device.type == "cpu":
        array: Array = tensor.numpy()
        return array
    import cupy

    device_array: Array = cupy.from_dlpack(tensor)
    return device_array


def _to_tensors(value: Any) -> Any:
    if hasattr(value, "__dlpack__"):
        return from_dlpack(value)
    return _each(value, _to_tensors)


def _each(value: Any, convert: Callable[[Any], Any]) -> Any:
    """`value` with the parts of a list, tuple, named tuple or dictionary converted."""
    if isinstance(value, dict):
        return {name: convert(part) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(convert, value))
    if isinstance(value, list | tuple):
        return type(value)(map(convert, value))
    return value
