"""What a kernel promises on a GPU beyond its result: the caller's stream, no waiting, no fresh memory."""

from collections.abc import Callable
from typing import Any

SPIN = """
extern "C" __global__ void spin(long long cycles) {
    const long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


def assert_asynchronous(call: Callable[[], object]) -> None:
    """`call` gives work to the current stream without waiting for it and, once warm, without cudaMalloc."""
    import cupy

    class NoFreshMemory(cupy.cuda.MemoryHook):  # type: ignore[misc]
        name = "NoFreshMemory"

        def alloc_preprocess(self, **about: Any) -> None:
            raise AssertionError(f"a warm call asked the device for {about['mem_size']} bytes")

    spin = cupy.RawKernel(SPIN, "spin")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(2):  # compiles, makes plans, fills this stream's pool
            call()
        stream.synchronize()
        spin((1,), (1,), (500_000_000,))  # a quarter of a second or more
        with NoFreshMemory():
            result = call()
        assert not stream.done, "the call waited for the device, or ran on another stream"
        stream.synchronize()
        del result
