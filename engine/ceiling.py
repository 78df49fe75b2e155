"""How much memory this process may take: the last line against a file that unpacks to more than it says.

The kernel counts private writable memory (RLIMIT_DATA), whether or not it was touched. The address space
(RLIMIT_AS) says little: OpenVINO and the allocator map far more than they use, 1.1 GB of which 0.4 GB count.
A GPU's worker has no ceiling: CUDA maps the memory of the whole machine.
"""

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")
_DATA = 5
"""The place of private writable memory, in pages."""


def held() -> int:
    """Bytes of private writable memory that this process has."""
    return int(_STATM.read_bytes().split()[_DATA]) * mmap.PAGESIZE


def set_ceiling(count: int) -> None:
    """Give this process `count` bytes beyond what it holds, or what it has as a limit now if that is less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held() + count
    if soft == resource.RLIM_INFINITY or limit < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@contextmanager
def ceiling(count: int) -> Iterator[None]:
    """Within, this process may take `count` bytes more; beyond, allocating fails (MemoryError)."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    set_ceiling(count)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def grantable(count: int) -> bool:
    """Whether the machine would give this process `count` bytes now."""
    try:
        mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True
