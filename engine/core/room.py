"""Whether there is memory for a second set of workers beside the one that serves."""

import re
from collections.abc import Sequence
from pathlib import Path

from assay.engine.errors import SetupError
from assay.engine.settings import MIB

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def check_room(pids: Sequence[int], workers: int) -> None:
    """Raises SetupError where `workers` more that are as large as those of `pids` would not fit in memory.

    What cannot be found out is taken to fit: a worker that does not get its memory says so and ends.
    """
    sizes = [size for pid in pids if (size := _own(pid))]
    free = _free()
    if not sizes or free is None:
        return
    need = max(sizes) * workers
    if need > free:
        raise SetupError(
            f"{workers} more workers take {need // MIB} MiB beside those that serve, and {free // MIB} MiB "
            "are free; end the server and start it with the new bundle, or give it fewer workers"
        )


def _own(pid: int) -> int:
    """Bytes that a process shares with no other."""
    lines = _numbers(PROC / str(pid) / "smaps_rollup")
    return 1024 * sum(lines.get(name, 0) for name in ("Private_Clean", "Private_Dirty"))


def _free() -> int | None:
    """Bytes that this machine, or the cgroup, can still give."""
    kilobytes = _numbers(PROC / "meminfo").get("MemAvailable")
    found = [] if kilobytes is None else [1024 * kilobytes]
    try:
        most = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        found.append(most - used + _numbers(CGROUP / "memory.stat").get("inactive_file", 0))
    except (OSError, ValueError):  # there is no cgroup, or no limit
        pass
    return min(found, default=None)


def _numbers(file: Path) -> dict[str, int]:
    """The lines NAME NUMBER of a file of the kernel."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}
