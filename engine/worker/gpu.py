"""The GPU of a worker: which one the process sees, whether it can be used, and its streams.

A worker process is started so that it sees its own GPU alone, as device 0: no library needs to be told, and
none can touch another.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from assay.engine.errors import EngineFault, SetupError
from assay.engine.quiet import keep_in_cache


def environment(device: int, current: Mapping[str, str]) -> dict[str, str]:
    """The variables that make GPU `device` the only one; numbers as `nvidia-smi` shows them.

    Where CUDA_VISIBLE_DEVICES is already set, `device` counts among the ones it names.

    Raises:
        SetupError: it names fewer.
    """
    visible = str(device)
    if (named := current.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in named.split(",") if name.strip()]
        if device >= len(names):
            raise SetupError(
                f"there is no GPU {device}: CUDA_VISIBLE_DEVICES names {len(names)}, and they count from 0"
            )
        visible = names[device]
    return {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


_COUNT = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print(-1 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) else count.value)
"""


def gpu_count() -> int:
    """How many GPUs this machine has, -1 where no NVIDIA driver answers. A process of its own asks, because
    whoever initialises CUDA keeps the devices open."""
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _COUNT], capture_output=True, text=True, check=False
    )
    return int(asked.stdout) if asked.returncode == 0 else -1


def check_devices(devices: Sequence[int]) -> None:
    """Raises SetupError where a GPU is named that this machine has not."""
    if not devices:
        return
    count = gpu_count()
    if count < 0:
        raise SetupError(
            "setting 'devices': no GPU can be used, because an NVIDIA driver is missing here or finds none; "
            "leave `devices` out to run on CPU cores"
        )
    if missing := [device for device in devices if device >= count]:
        raise SetupError(f"setting 'devices': there is no GPU {missing[0]}; {count} are seen, counted from 0")


class Gpu:
    """The first GPU that this process sees, with a stream for decoding and one for all that follows.

    Raises:
        SetupError: CuPy is not installed.
        EngineFault: there is no such GPU, or its driver is too old; the sentence says what CUDA said.
    """

    def __init__(self) -> None:
        keep_in_cache()
        try:
            import cupy
        except ImportError:
            raise SetupError("a GPU needs CuPy, which is not installed: pip install 'assay[gpu]'") from None
        self._cupy: Any = cupy
        try:
            cupy.cuda.Device(0).use()
            name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            try:
                needed = f" for CUDA {cupy.cuda.get_local_runtime_version() // 1000} or later"
            except RuntimeError:  # CUDA's own libraries are not found either
                needed = ""
            raise EngineFault(
                f"the GPU cannot be used ({error}); it needs an NVIDIA driver{needed}, and `nvidia-smi` must "
                "list it"
            ) from None
        self.name: str = name
        self._decoding = cupy.cuda.Stream(non_blocking=True)
        self._computing = cupy.cuda.Stream(non_blocking=True)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """The stream on which images are decoded is current."""
        with self._decoding:
            yield

    def decoded(self) -> Any:
        """An event for `computing`: what was given to the decoding stream is done."""
        return self._decoding.record()

    @contextmanager
    def computing(self, after: Any) -> Iterator[None]:
        """The stream on which kernels and graphs run is current; it first waits for the event `after`."""
        with self._computing:
            self._computing.wait_event(after)
            yield

    def release(self) -> None:
        """Give unused memory back to the device."""
        self._computing.synchronize()
        self._cupy.get_default_memory_pool().free_all_blocks()


def host_threads(devices: int) -> int:
    """Threads of the host that each of `devices` GPUs may use."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, devices))
