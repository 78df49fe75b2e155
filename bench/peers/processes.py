"""Processes below a process: which there are, the CPU time that they have used, and ending them."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def descendants(pid: int, generations: int | None = None) -> set[int]:
    """Children of `pid`, their children and so on; processes that have ended but were not collected, too."""
    children: dict[int, list[int]] = {}
    for each in _all():
        if fields := _stat(each):
            children.setdefault(int(fields[1]), []).append(each)
    found: set[int] = set()
    level = [pid]
    while level and generations != 0:
        level = [child for parent in level for child in children.get(parent, []) if child not in found]
        found.update(level)
        generations = generations - 1 if generations else None
    return found


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """User and system time of each that is still there, all its threads together."""
    return {
        pid: (int(fields[11]) + int(fields[12])) / TICK for pid in pids if (fields := _stat(pid)) is not None
    }


def end(found: Callable[[], set[int]], seconds: float = 10.0) -> None:
    """Kill what `found` names, and again, until it names none or `seconds` are over."""
    deadline = time.monotonic() + seconds
    while (pids := {pid for pid in found() if not ended(pid)}) and time.monotonic() < deadline:
        tell(pids, signal.SIGKILL)
        time.sleep(0.02)


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits to be collected."""
    fields = _stat(pid)
    return fields is None or fields[0] in "ZX"


def command_line(pid: int) -> str:
    """The words of a process' command; "" of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third, the state, on; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
