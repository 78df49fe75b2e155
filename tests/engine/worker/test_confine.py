"""What a confined process may do: interpreted for every machine, and really on this one."""

import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.settings import Settings
from assay.engine.worker.confine import _ALLOW, _MACHINES, _REFUSE, _program

UNIX = 1


def judged(program: bytes, number: int, arch: int, first: int) -> int:
    """What the kernel would return: an interpreter of the four instructions that are used."""
    instructions = [struct.unpack("HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    at, word = 0, 0
    while True:
        code, yes, no, constant = instructions[at]
        at += 1
        if code == 0x20:
            word = {0: number, 4: arch, 16: first}[constant]
        elif code in (0x15, 0x35):
            at += yes if (word == constant if code == 0x15 else word >= constant) else no
        else:
            assert code == 0x06
            return int(constant)


@pytest.mark.parametrize("machine", _MACHINES)
@given(number=st.integers(0, 500) | st.integers(0, 2**32 - 1), first=st.integers(0, 50))
def test_the_filter_refuses_networks_and_nothing_else(machine: str, number: int, first: int) -> None:
    calls = _MACHINES[machine]
    program = _program(calls)
    refused = number in calls.refused or number >= 0x40000000 or (number == calls.socket and first != UNIX)
    assert judged(program, number, calls.arch, first) == (_REFUSE if refused else _ALLOW)
    assert judged(program, number, 0x40000003, first) == _REFUSE  # i386's numbers are others
    for each in (*calls.refused, calls.socket):
        assert judged(program, each, calls.arch, 2) == _REFUSE


SCRIPT = """
import errno, socket, subprocess, sys, threading
from assay.engine.worker.confine import confine

def refused(make):
    try:
        make().close()
    except PermissionError:
        return True
    return False

begin, found = threading.Event(), []
def early():  # a thread that was there before, as those of runtimes are
    begin.wait()
    found.append(refused(lambda: socket.socket(socket.AF_INET)))
thread = threading.Thread(target=early)
thread.start()
assert not refused(lambda: socket.socket(socket.AF_INET))
assert confine() == "", confine()
begin.set()
thread.join()
assert found == [True]
assert refused(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
assert refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
socket.socket(socket.AF_UNIX).close()
one, other = socket.socketpair()
one.sendall(b"still")
assert other.recv(5) == b"still"
code = "import socket; socket.socket(socket.AF_INET)"
child = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
assert b"PermissionError" in child.stderr
print("confined")
"""


ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in _MACHINES, reason="no filter is known for it"
)


@ON_LINUX
def test_workers_are_confined(bundle: Bundle) -> None:
    core = Core([bundle], Settings(workers=1))
    try:
        (pid,) = core.pids()
        assert "Seccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()
    finally:
        core.stop()


@ON_LINUX
def test_all_threads_and_children_of_a_confined_process_reach_no_network() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "confined\n", done.stderr
