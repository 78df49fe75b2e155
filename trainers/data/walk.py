"""The folders and files of a data set. Links to folders are followed: data sets are put together by them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINKS = 4
"""Links to folders that may lie on the way to a file."""


class Folder(NamedTuple):
    """A folder with the folders and the regular files in it, sorted by name."""

    path: Path
    folders: list[Path]
    files: list[Path]


def walk(root: Path) -> Iterator[Folder]:
    """`root` and the folders below it, each before what lies in it.

    A link is not followed where `LINKS` others lie on the way to it, nor back to a folder that the way leads
    through. Folders that cannot be listed are left out.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(root, (os.path.realpath(root),))]
    while waiting:
        path, way = waiting.pop()
        try:
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            continue
        folders, files = [], []
        for entry in entries:
            if not entry.is_dir():
                files += [path / entry.name] if entry.is_file() else []
            elif (on := _onwards(entry, way)) is not None:
                folders.append(path / entry.name)
                waiting.append((folders[-1], on))
        yield Folder(path, folders, files)


def _onwards(entry: "os.DirEntry[str]", way: tuple[str, ...]) -> tuple[str, ...] | None:
    """The real folders from which links led here, and this one; None where it is not to be entered."""
    *left, here = way
    if not entry.is_symlink():
        return (*left, os.path.join(here, entry.name))
    real = os.path.realpath(entry.path)
    if len(left) == LINKS or any(os.path.commonpath((real, passed)) == real for passed in way):
        return None
    return (*way, real)
