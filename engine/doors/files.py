"""Folders and files: every regular file gets one outcome, in the order of the paths.

Files are read when there is room for them and forgotten once answered, so memory does not grow with their
number.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

from assay.engine import telemetry
from assay.engine.admission import check_bytes
from assay.engine.core import Core
from assay.engine.errors import SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Refused
from assay.engine.settings import Limits

AHEAD = 64
"""Images per worker that may be under way or wait for an earlier one to be answered."""


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every regular file among and below `paths`, whatever its name, sorted folder by folder.

    Links are followed to files, not to folders. Raises `SetupError` for a path that does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from _below(path)
        elif path.is_file():
            yield path
        else:
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise SetupError(f"{path} {what}")


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():
                yield path


def scan(core: Core, paths: Iterable[Path], bundle: str | None = None) -> Iterator[tuple[Path, Outcome]]:
    """Score the files at `paths` -> (path, outcome) in their order; the path is the outcome's id."""
    under_way: deque[tuple[Path, Future[Outcome]]] = deque()
    most = AHEAD * max(1, core.settings.workers)
    for path in paths:
        under_way.append((path, _submit(core, path, bundle)))
        while under_way and (len(under_way) >= most or under_way[0][1].done()):
            yield _next(under_way)
    while under_way:
        yield _next(under_way)


def _next(under_way: deque[tuple[Path, Future[Outcome]]]) -> tuple[Path, Outcome]:
    path, future = under_way.popleft()
    return path, future.result()


def _submit(core: Core, path: Path, bundle: str | None) -> Future[Outcome]:
    try:
        data = read_file(path, core.settings.limits)
    except Refused as refused:
        outcome = refused.rejection(str(path))
        telemetry.count(outcome, bundle or next(iter(core.bundles)))
        answered: Future[Outcome] = Future()
        answered.set_result(outcome)
        return answered
    return core.submit([Item(str(path), data, bundle)], wait=True)[0]


def read_file(path: Path, limits: Limits) -> bytes:
    """The bytes of a file. Raises `Refused` if it is too large to be worth reading, or cannot be read."""
    try:
        with path.open("rb") as file:
            check_bytes(os.fstat(file.fileno()).st_size, limits)
            return file.read()
    except OSError as error:
        raise Refused(Reason.UNDECODABLE, f"The file cannot be read: {error.strerror}.") from None
