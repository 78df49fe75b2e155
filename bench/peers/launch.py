"""Runs a command such that none of its processes outlives it.

    python -m assay.bench.peers.launch COMMAND...

Orphans become children of this process, so that what a server has started, by whatever way, is found below
it. When the command ends, when SIGTERM comes, or when whoever started this process is gone, all of them end.
"""

import ctypes
import os
import signal
import sys
import time
from types import FrameType

from assay.bench.peers.processes import descendants, end, ended

GRACE = 5.0
"""Seconds that the command has to end by itself."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    """The command's exit status; 128 and the signal's number where one ended it."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: whoever started this process decides
    signal.signal(signal.SIGTERM, _leave)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    status = 0
    pid = os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigdef=[signal.SIGINT])
    try:
        status = _outlive(pid)
    except SystemExit:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while not ended(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end(lambda: descendants(os.getpid()))
    return status


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit


def _outlive(pid: int) -> int:
    """Collect the command and orphans until the command ends."""
    while True:
        found, status = os.wait()
        if found == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
