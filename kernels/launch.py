"""Loads the .cu files of kernels/cuda and launches their functions on the caller's CuPy stream.

A file is compiled by NVRTC at its first use on a device (CuPy keeps the result on disk, too). Every function
is `extern "C"`, and each file stands alone, because CuPy's cache does not see changes in included files.
"""

from functools import cache
from pathlib import Path
from typing import Any

from assay.kernels.arrays import cupy

FOLDER = Path(__file__).parent / "cuda"
OPTIONS = ("--std=c++17",)


def launch(file: str, function: str, threads: int, *arguments: Any, block: int = 256) -> None:
    """Run `function` of cuda/`file`.cu over at least `threads` threads, in a grid of one dimension.

    Arguments are CuPy arrays (passed as pointers) and NumPy scalars of exactly the C type that the function
    has: a bare int would be passed as 64 bits, a bare float as double. The last block may hold idle threads.
    """
    kernel = _function(file, function, int(cupy().cuda.runtime.getDevice()))
    kernel(((threads + block - 1) // block,), (block,), arguments)


@cache
def _function(file: str, function: str, device: int) -> Any:
    """One loaded function per device; `device` is the current one and only a part of the key."""
    return _module(file, device).get_function(function)


@cache
def _module(file: str, device: int) -> Any:
    return cupy().RawModule(code=(FOLDER / f"{file}.cu").read_text(), options=OPTIONS)
