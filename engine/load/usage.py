"""Processor time and memory of the processes that a load keeps busy, by what they are: Linux's /proc says."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["front", "workers", "client"]
TICK = os.sysconf("SC_CLK_TCK")
WORKER = "assay.engine.worker"
LISTENING = "0A"


@dataclass(frozen=True)
class Processes:
    """Processes of this machine by role. Those that start later are not seen, nor those of other machines."""

    roles: Mapping[int, Role]

    def cpu(self) -> Counter[str]:
        """Seconds of processor time that each role has used so far."""
        used: Counter[str] = Counter()
        for pid, role in self.roles.items():
            with suppress(OSError):  # it has ended
                used[role] += cpu_seconds(pid)  # type: ignore[assignment]  # a Counter adds any number
        return used

    def peak_memory(self) -> Counter[str]:
        """Bytes of memory that the processes of each role had resident at most, summed over those that are
        there."""
        peaks: Counter[str] = Counter()
        for pid, role in self.roles.items():
            peaks[role] += _peak(pid)
        return +peaks


def processes(servers: Sequence[int], client: bool = True) -> Processes:
    """Those of `servers` and all below them; this process is the `client`, else a server's."""
    own = os.getpid()
    roles: dict[int, Role] = {own: "client"} if client else {}
    for server in servers:
        for pid in (server, *below(server)):
            roles[pid] = "workers" if WORKER in command(pid) else "front"
    return Processes(roles)


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def command(pid: int) -> Sequence[str]:
    """The words that a process was started with; none where it is gone or hidden."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ()


def parent(pid: int) -> int:
    """0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def below(pid: int) -> list[int]:
    """The children of a process, their children, and so on."""
    parents = {each: parent(each) for each in _pids()}
    found = [pid]
    for one in found:
        found += [each for each, its in parents.items() if its == one]
    return found[1:]


def listeners(port: int) -> list[int]:
    """The `assay serve` processes that listen on a port of this machine; where another one started such a
    process to serve with it, that one."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    found = dict.fromkeys(_top(pid) for pid in _pids() if sockets and sockets & set(_open(pid)))
    return list(found)


def _top(pid: int) -> int:
    while "serve" in command(above := parent(pid)):
        pid = above
    return pid


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _open(pid: int) -> Iterator[str]:
    try:
        for each in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                yield os.readlink(each.path)
    except OSError:  # another user's, or gone
        return


def _listening(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return 1024 * int(fields.get("VmHWM", "0").split()[0])
