"""Nothing that a server started outlives who started the server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.bench.peers.processes import cpu_seconds, descendants, ended

LAUNCH = [sys.executable, "-P", "-m", "assay.bench.peers.launch"]
FAMILY = """
import os, subprocess, sys, time
sleeps = ["sleep", "600"]
subprocess.Popen(sleeps, start_new_session=True)
middle = subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.Popen({sleeps!r})"])
middle.wait()
open(sys.argv[1], "w").write("ready")
time.sleep(float(sys.argv[2]))
sys.exit(7)
"""
"""A child in a session of its own, an orphan, and then the end."""


def started(tmp_path: Path, *before: str, seconds: float = 600) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", FAMILY, f"{tmp_path}/ready", str(seconds)]
    process = subprocess.Popen([*before, *LAUNCH, *command])
    wait_for((tmp_path / "ready").exists)
    return process


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_orphans_end_with_the_command(tmp_path: Path) -> None:
    process = started(tmp_path)
    family = descendants(process.pid)
    assert len(family) == 3  # the command, its child, the orphan
    process.terminate()
    assert process.wait(60) == 0
    assert all(map(ended, family))


def test_orphans_end_when_the_command_does(tmp_path: Path) -> None:
    process = started(tmp_path, seconds=0.3)
    family = descendants(process.pid)
    assert process.wait(60) == 7
    assert all(map(ended, family))


def test_all_end_with_who_started_them(tmp_path: Path) -> None:
    starts = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    process = started(tmp_path, sys.executable, "-c", starts)
    family = descendants(process.pid)
    assert len(family) == 4
    process.kill()
    process.wait()
    wait_for(lambda: all(map(ended, family)))


def test_stopped_processes_end(tmp_path: Path) -> None:
    process = started(tmp_path)
    family = descendants(process.pid)
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    process.terminate()
    assert process.wait(60) == 0
    assert all(map(ended, family))


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("os.kill(os.getpid(), 9)", 137)]
)
def test_exit_status(code: str, status: int) -> None:
    command = [*LAUNCH, sys.executable, "-c", f"import os; {code}"]
    assert subprocess.run(command, check=False, timeout=60).returncode == status


def test_cpu_seconds_leave_out_who_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    used = cpu_seconds([os.getpid(), process.pid])
    assert used.keys() == {os.getpid()}
    assert used[os.getpid()] > 0
