"""Arrays that refuse what CuPy's refuse, with the values on the host: for code that must run on either.

CuPy turns nothing into NumPy unasked and takes no NumPy array beside its own, and lacks some of NumPy's
functions. A kernel takes such arrays alone and gives such arrays.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import cupy
import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

from assay import kernels


class DeviceArray(NDArrayOperatorsMixin):
    """An array on a device that is not there."""

    fetched = 0
    """Bytes that were copied to the host, of all arrays."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.dtype, self.ndim = self.values.shape, self.values.dtype, self.values.ndim

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        assert method == "__call__", f"CuPy has no numpy.{ufunc.__name__}.{method}"
        assert hasattr(cupy, ufunc.__name__), f"CuPy has no {ufunc.__name__}"
        return on_device(ufunc(*(unwrap(value) for value in inputs), **options))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        place: Any = cupy.fft if "fft" in function.__module__ else cupy
        assert hasattr(place, function.__name__), f"CuPy has no {function.__name__}"
        if function is np.asarray:  # asked for by like=: the one way from the host to the device
            return DeviceArray(np.asarray(*arguments, **options))
        return on_device(function(*unwrap(arguments), **unwrap(options)))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Any:
        return on_device(self.values[unwrap(key)])

    def __getattr__(self, name: str) -> Any:
        if name not in ("reshape", "astype", "mean", "sum", "transpose", "copy", "size", "T"):
            raise AttributeError(name)
        found = getattr(self.values, name)
        if not callable(found):
            return on_device(found)
        return lambda *arguments, **options: on_device(found(*arguments, **options))

    def tolist(self) -> Any:
        return self.get().tolist()

    def get(self) -> Any:
        DeviceArray.fetched += self.values.nbytes
        return self.values.copy()


def on_device(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return DeviceArray(value)
    return type(value)(map(on_device, value)) if isinstance(value, list | tuple) else value


def unwrap(value: Any) -> Any:
    """The values of device arrays, in lists and tuples too; a NumPy array among them is refused."""
    assert not isinstance(value, np.ndarray), "a NumPy array was mixed with arrays of the device"
    if isinstance(value, DeviceArray):
        return value.values
    if isinstance(value, dict):
        return {name: unwrap(part) for name, part in value.items()}
    return type(value)(map(unwrap, value)) if isinstance(value, list | tuple) else value


def on_the_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of NumPy arrays as one of device arrays."""
    return lambda *arguments, **options: on_device(function(*unwrap(arguments), **unwrap(options)))


def move_kernels(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `module` the kernels take device arrays alone."""
    for name in kernels.__all__:
        if callable(kernel := getattr(module, name, None)) and not isinstance(kernel, type):
            monkeypatch.setattr(module, name, on_the_device(kernel))
