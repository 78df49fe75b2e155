"""Runs the functions of kernels/cuda/*.cu on the CPU, so that their source is tested where no GPU is.

`gpu_on_host()` gives the public functions a CuPy whose arrays lie in host memory: inside, an
`on_host_gpu(array)` takes the way of a CuPy array through checks, argument lists and the kernel itself.
`host_kernels(file).launch` calls one function of a file directly. Only for kernels without block barriers:
threads run one after another.
"""

import ctypes
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np

from assay.kernels.launch import FOLDER

SHIM = Path(__file__).parent / "cuda_host.h"
SIGNATURE = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)')
DEVICE = -1  # of arrays that only pretend to be on a GPU


class HostKernels:
    """One .cu file, compiled by g++ into a library that walks the grid."""

    def __init__(self, file: str) -> None:
        source = (FOLDER / f"{file}.cu").read_text()
        found = SIGNATURE.findall(re.sub(r"//[^\n]*", "", source))
        assert found, f'{file}.cu has no extern "C" __global__ function'
        self.parameters = {name: [part.split() for part in text.split(",")] for name, text in found}
        library = _compile(source + "".join(_walker(name, text) for name, text in found))
        self.functions = {name: getattr(library, f"host_{name}") for name, _ in found}

    def launch(self, function: str, threads: int, *arguments: object, block: int = 256) -> None:
        """As `assay.kernels.launch.launch`, with NumPy arrays in the place of CuPy arrays."""
        self.walk(function, ((threads + block - 1) // block,), (block,), arguments)

    def walk(self, function: str, grid: tuple[int], block: tuple[int], arguments: tuple[object, ...]) -> None:
        declared = self.parameters[function]
        assert len(arguments) == len(declared), f"{function} takes {len(declared)} arguments"
        values = [_argument(value, words) for value, words in zip(arguments, declared, strict=True)]
        self.functions[function](*grid, *block, *values)


@cache
def host_kernels(file: str) -> HostKernels:
    return HostKernels(file)


class HostArray(np.ndarray):
    """A NumPy array that answers as a CuPy array does."""

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self) -> SimpleNamespace:
        return SimpleNamespace(id=DEVICE)


def on_host_gpu(array: np.ndarray) -> HostArray:
    return array.copy().view(HostArray)


@contextmanager
def gpu_on_host() -> Iterator[None]:
    """Inside, `HostArray`s take the GPU's way through the public functions."""
    cupy = ModuleType("cupy")
    cupy.ndarray = HostArray
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDevice=lambda: DEVICE))
    for name in ("empty", "zeros", "array", "asarray", "ascontiguousarray"):
        setattr(cupy, name, partial(_as_host_gpu, getattr(np, name)))
    functions = mock.patch(
        "assay.kernels.launch._function",
        lambda file, function, _device: partial(host_kernels(file).walk, function),
    )
    with mock.patch.dict(sys.modules, {"cupy": cupy}), functions:
        yield


def _as_host_gpu(function, *arguments, **named):
    return function(*arguments, **named).view(HostArray)


def _argument(value: object, words: list[str]) -> object:
    """The ctypes form, after a check that the size fits what the kernel declares."""
    declared = " ".join(words)
    if "*" in declared:
        assert value is None or isinstance(value, np.ndarray), f"{declared}: pass an array"
        assert value is None or value.flags.c_contiguous, f"{declared}: the array is not contiguous"
        return ctypes.c_void_p(None if value is None else value.ctypes.data)
    assert isinstance(value, np.generic), f"{declared}: pass a NumPy scalar, not {type(value).__name__}"
    sizes = {"char": 1, "bool": 1, "int": 4, "float": 4, "double": 8, "long": 8}
    size = max(size for word, size in sizes.items() if word in words)
    assert value.dtype.itemsize == size, f"{declared}: {value.dtype} has the wrong size"
    assert (value.dtype.kind == "f") == bool({"float", "double"} & set(words)), f"{declared}: {value.dtype}"
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


def _walker(name: str, parameters: str) -> str:
    names = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", parameters))
    return f"""
extern "C" void host_{name}(unsigned blocks, unsigned block, {parameters}) {{
    gridDim = {{blocks, 1, 1}};
    blockDim = {{block, 1, 1}};
    for (unsigned b = 0; b < blocks; ++b)
        for (unsigned t = 0; t < block; ++t) {{
            blockIdx = {{b, 0, 0}};
            threadIdx = {{t, 0, 0}};
            {name}({names});
        }}
}}
"""


def _compile(source: str) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    assert compiler, "the host run of CUDA kernels needs g++"
    key = hashlib.sha256((SHIM.read_text() + source).encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"assay-host-kernels-{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder) / "kernels.cpp"
            code.write_text(f'#include "{SHIM}"\n{source}')
            built = Path(folder) / library.name
            options = ["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror"]
            quiet = ["-Wno-unknown-pragmas", "-Wno-unused-function"]
            subprocess.run([compiler, *options, *quiet, "-o", built, code], check=True)
            built.rename(library)
    return ctypes.CDLL(str(library))
