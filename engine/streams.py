"""The standard streams of the command line, which may be closed, full, a broken pipe, or ASCII alone."""

import errno
import io
import os
import resource
import sys
from contextlib import suppress

from assay.engine.errors import SetupError
from assay.engine.printable import printable

NAMES = ("stdin", "stdout", "stderr")
CLOSED: set[str] = set()
"""Those that were closed when the command line started."""


def open_closed() -> list[str]:
    """Put /dev/null in the place of every standard stream that is closed -> their names.

    Else the next file that is opened would be taken for it, such as the memory that a worker shares.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
            os.set_inheritable(number, True)
    closed = [name for name in NAMES if getattr(sys, name) is None]
    for name in closed:
        null = open(os.devnull, "r+", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        setattr(sys, name, null)
    return closed


def show_any_text() -> None:
    """What standard output cannot encode is spelt out, not an error; standard error does so by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        try:
            sys.stdout.reconfigure(errors="backslashreplace")
        except OSError:  # another file has taken its descriptor, such as a pipe that of a file
            sys.stdout = open(  # noqa: SIM115
                1, "w", encoding=sys.stdout.encoding, errors="backslashreplace", closefd=False
            )


def say(words: object) -> None:
    """A line for people, on standard error; lost where that cannot be written."""
    try:
        print(printable(words), file=sys.stderr, flush=True)
    except OSError:
        _discard(2)


def flush_output() -> None:
    """What is buffered goes out, or is lost where nobody reads on, as with `| head`. Raises `OSError` where
    it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(1)
    except OSError:
        _discard(1)
        raise


def allow_files(workers: int) -> int:
    """Let this process open as many files at a time as `workers` take, eight each while they start with their
    shared memory -> how many workers may run, fewer where the system grants less.

    Raises:
        SetupError: not even one may.
    """
    need = 8 + 8 * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return workers
    most = need if hard == resource.RLIM_INFINITY else min(need, hard)
    if most < 16:
        raise SetupError(
            f"this process may open {hard} files at a time, a worker takes 16; raise `ulimit -n`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return (most - 8) // 8


def refusal(error: OSError) -> str:
    """What the system refused, in words; what names no file was written to standard output."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too few files may be open at a time; raise `ulimit -n`"
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return f"standard output cannot be written: {error.strerror}"
    return f"{error.filename or 'the system refused'}: {error.strerror or error}"


def _discard(number: int) -> None:
    """Lose what is still buffered for a stream: the interpreter would try, and fail, again at its end."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
