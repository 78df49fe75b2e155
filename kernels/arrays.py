"""Which array library a call runs in, and what its arguments must look like.

Every kernel takes NumPy arrays and gives NumPy arrays, or takes CuPy arrays and gives CuPy arrays on the same
device. CuPy is never imported here: who has no CuPy array cannot need it.
"""

import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]  # or a CuPy array, which is untyped


def on_gpu(**arrays: Array) -> bool:
    """True where the named arrays are CuPy arrays of one device, False where all are NumPy arrays.

    Raises ValueError naming the argument that is no array, or the two that do not live together.
    """
    (first, place), *rest = ((name, _device(name, array)) for name, array in arrays.items())
    for name, other in rest:
        if other != place:
            raise ValueError(f"{name} lives on {_place(other)} but {first} on {_place(place)}; move one")
    return place is not None


def expect(name: str, array: Array, shape: str, *dtypes: npt.DTypeLike) -> None:
    """Raise ValueError unless `array` has the shape, such as "B H 4", and one of the dtypes.

    A number in `shape` fixes that axis; a letter stands for any length from 1.
    """
    axes = shape.split()
    fits = array.ndim == len(axes) and all(
        length == int(axis) if axis.isdigit() else length > 0
        for length, axis in zip(array.shape, axes, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        kinds = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(
            f"{name} must be ({', '.join(axes)}) {kinds} without an empty axis,"
            f" not {tuple(array.shape)} {array.dtype.name}"
        )


def refuse_nan(name: str, array: Array) -> None:
    """Raise ValueError where a NumPy array holds NaN; on a GPU looking would mean waiting for the device."""
    if isinstance(array, np.ndarray) and np.isnan(array).any():
        raise ValueError(f"{name} holds NaN")


def on_host(array: Array) -> npt.NDArray[Any]:
    """The array itself, or a copy of a CuPy array's values, which means waiting for the device."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


def cupy() -> ModuleType:
    """The CuPy module; called only where a CuPy array is at hand, so it is there."""
    return sys.modules["cupy"]


def _device(name: str, array: object) -> int | None:
    """The CUDA device's number, or None for the host."""
    module = sys.modules.get("cupy")
    if module is not None and isinstance(array, module.ndarray):
        return int(array.device.id)
    if isinstance(array, np.ndarray):
        return None
    raise ValueError(f"{name} must be a NumPy or CuPy array, not {type(array).__name__}")


def _place(device: int | None) -> str:
    return "the host (NumPy)" if device is None else f"CUDA device {device} (CuPy)"
