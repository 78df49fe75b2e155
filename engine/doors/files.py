"""Folders and files: every regular file gets one outcome, in the order of the paths.

Files are read when there is room for them and forgotten once answered, so memory does not grow with their
number.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from assay.engine import telemetry
from assay.engine.admission import check_bytes
from assay.engine.core import Core
from assay.engine.errors import SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.printable import printable
from assay.engine.settings import Limits

AHEAD = 64
"""Images per worker that may be under way or wait for an earlier one to be answered."""

_KINDS = (
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def find_files(
    paths: Iterable[Path], passed_over: Callable[[str], object] = lambda sentence: None
) -> Iterator[Path]:
    """Every regular file among and below `paths`, whatever its name, sorted folder by folder; and every
    folder that cannot be listed, so that it gets an outcome as a file that cannot be read does.

    Links are followed to files, not to folders. `passed_over` is told in a sentence of whatever else there
    is: links that lead nowhere or to a folder, FIFOs, sockets, devices.

    Raises `SetupError` for one of `paths` that does not exist or cannot be looked at.
    """
    for path in paths:
        if stat.S_ISDIR(_mode(path)):
            yield from _below(path, passed_over)
        else:
            one_file(path)
            yield path


def one_file(path: Path) -> None:
    """Raises `SetupError` where `path` is no regular file, or no link to one."""
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        raise SetupError(f"{path} is no file")
    if not stat.S_ISREG(mode):
        raise SetupError(f"{path} is neither a file nor a folder")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise SetupError(f"{path} does not exist") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be looked at: {error.strerror}") from None


def _below(top: Path, passed_over: Callable[[str], object]) -> Iterator[Path]:
    waiting = [str(top)]  # not recursive: folders may be nested as deep as a path is long
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            yield Path(folder)
            continue
        inner = []
        for entry in entries:
            if _is_folder(entry):
                inner.append(entry.path)
            elif what := _no_file(entry):
                passed_over(f"{printable(entry.path)} {what}: passed over")
            else:
                yield Path(entry.path)
        waiting += reversed(inner)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # on file systems that do not say by themselves
        return False


def _no_file(entry: "os.DirEntry[str]") -> str | None:
    """What an entry is that is no file; None for a file, also for one that may not be looked at."""
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "is a link to what does not exist" if entry.is_symlink() else "is gone"
    except OSError as error:
        return f"is a link that cannot be followed ({error.strerror})" if entry.is_symlink() else None
    if stat.S_ISDIR(mode):
        return "is a link to a folder, which is not followed"
    if stat.S_ISREG(mode):
        return None
    return next((what for is_one, what in _KINDS if is_one(mode)), "is no regular file")


def scan(
    core: Core, paths: Iterable[Path], bundle: str | None = None, drawn: int = 0
) -> Iterator[tuple[Path, Outcome]]:
    """Score the files at `paths` -> (path, outcome) in their order; the path is the outcome's id.

    The evidence of the first `drawn` files comes as pictures, too, save of images too large for it.
    """
    under_way: deque[tuple[Path, Future[Outcome]]] = deque()
    most = AHEAD * max(1, core.settings.workers)
    for number, path in enumerate(paths):
        under_way.append((path, _submit(core, path, bundle, number < drawn)))
        while under_way and (len(under_way) >= most or under_way[0][1].done()):
            yield _next(under_way)
    while under_way:
        yield _next(under_way)


def _next(under_way: deque[tuple[Path, Future[Outcome]]]) -> tuple[Path, Outcome]:
    path, future = under_way.popleft()
    return path, future.result()


def _submit(core: Core, path: Path, bundle: str | None, drawn: bool) -> Future[Outcome]:
    try:
        data = read_file(path, core.settings.limits)
    except Refused as refused:
        outcome = refused.rejection(str(path))
        telemetry.count(outcome, bundle or next(iter(core.bundles)))
        answered: Future[Outcome] = Future()
        answered.set_result(outcome)
        return answered
    item = Item(str(path), data, bundle, drawn=drawn)
    [future] = core.submit([item], wait=True)
    if drawn and future.done() and _too_large(future.result()):  # perhaps only to be drawn, which takes more
        [future] = core.submit([replace(item, drawn=False)], wait=True)
    return future


def _too_large(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejection) and outcome.reason is Reason.TOO_MANY_PIXELS


def read_file(path: Path, limits: Limits) -> bytes:
    """The bytes of a file. Raises `Refused` if it is too large to be worth reading, or cannot be read."""
    try:
        data = _read(path, limits)
    except OSError as error:
        what = "folder cannot be listed" if os.path.isdir(path) else "file cannot be read"
        raise Refused(Reason.UNDECODABLE, f"The {what}: {error.strerror}.") from None
    check_bytes(len(data), limits)
    return data


def _read(path: Path, limits: Limits) -> bytes:
    # not to wait for a writer, should the file have become a FIFO
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(
                Reason.UNDECODABLE, "This is no file any more, or a folder that could not be listed."
            )
        check_bytes(found.st_size, limits)
        with os.fdopen(number, "rb", closefd=False) as file:
            return file.read(limits.max_bytes + 1)  # it may grow, and files of /proc say that they are empty
    finally:
        os.close(number)
