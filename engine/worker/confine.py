"""A worker that reaches no network: decoders read what strangers sent, and a flaw in one must not call home.

A filter of system calls (seccomp, Linux 3.17) refuses sockets of all families but `AF_UNIX`, io_uring, which
could make some without asking, and looking into other processes. It holds for all threads and for processes
that the worker starts, and cannot be taken off. It needs no rights, so containers allow it.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from typing import NamedTuple

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _TSYNC = 1, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _EQUAL, _LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""BPF: load a word; jump where it equals a constant, where it is at least that; return."""
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data


class _Calls(NamedTuple):
    """Numbers of a machine: of its audit architecture, and of system calls."""

    arch: int
    seccomp: int
    socket: int
    refused: tuple[int, ...]
    """io_uring_setup, pidfd_getfd, ptrace, process_vm_readv, process_vm_writev."""


_MACHINES = {
    "x86_64": _Calls(0xC000003E, 317, 41, (425, 438, 101, 310, 311)),
    "aarch64": _Calls(0xC00000B7, 277, 198, (425, 438, 117, 270, 271)),
}


def confine() -> str:
    """Confine this process -> why it could not be, or nothing."""
    calls = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or calls is None or sys.byteorder != "little":
        return f"no filter is known for {sys.platform} on {platform.machine()}"
    program = _program(calls)
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return f"prctl: {os.strerror(ctypes.get_errno())}"
    found = libc.syscall(calls.seccomp, _SET_MODE_FILTER, _TSYNC, ctypes.c_char_p(header))
    if found > 0:
        return f"thread {found} has a filter of its own"
    return f"seccomp: {os.strerror(ctypes.get_errno())}" if found else ""


def _program(calls: _Calls) -> bytes:
    """The filter: instructions of 8 bytes, (code, jump if so, jump if not, constant)."""
    checks = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, calls.arch),
        (_RETURN, 0, 0, _REFUSE),  # of the 32-bit mode, which has other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_LEAST, len(calls.refused) + 4, 0, 0x40000000),  # of x32, which has others, too
        *((_EQUAL, len(calls.refused) - place + 3, 0, number) for place, number in enumerate(calls.refused)),
        (_EQUAL, 1, 0, calls.socket),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, int(socket.AF_UNIX)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *check) for check in checks)
