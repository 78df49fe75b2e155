"""What a study has computed so far, in its folder: one that was stopped goes on where it was.

A part is a few hundred images as one network answers them. It lies under a hash of all that decides it: the
network's files, by what means it computes, what is done to the images, which images these are and when they
were changed, and the version of Assay. A part under another hash is never taken.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from assay.engine.streams import say
from assay.engine.version import own_version
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Scored

PART = 256
"""Images that are computed and kept together."""
Arrays: TypeAlias = dict[str, NDArray[np.generic]]


class Kept:
    """The finished parts of a study whose results go to `out`."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "kept"

    def scored(
        self,
        title: str,
        decides: Mapping[str, str],
        samples: Sequence[Sample],
        score: Callable[[Sequence[Sample]], Scored],
    ) -> Scored:
        """`samples` as `score(part)` scores each part of them, without measures."""

        def make(part: Sequence[Sample]) -> Arrays:
            found = score(part)
            nowhere = set(found.unreadable)
            taken = np.array([sample.path not in nowhere for sample in part], bool)
            return {"logits": found.logits, "sides": found.sides, "taken": taken}

        found = self.arrays(title, decides, samples, make)
        taken = found["taken"].astype(bool)
        return Scored(
            tuple(sample for sample, there in zip(samples, taken, strict=True) if there),
            found["logits"].astype(np.float64),
            found["sides"].astype(np.int64),
            tuple(sample.path for sample, there in zip(samples, taken, strict=True) if not there),
        )

    def arrays(
        self,
        title: str,
        decides: Mapping[str, str],
        samples: Sequence[Sample],
        make: Callable[[Sequence[Sample]], Arrays],
    ) -> Arrays:
        """What `make` gives for each part, joined along the first axis. A bar on standard error shows how far
        it is, and a line says what was there already.

        decides: what the arrays follow from beside the samples, by name.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        parts: list[Arrays] = []
        before = 0
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(title, total=len(samples))
            for first in range(0, max(len(samples), 1), PART):
                part = samples[first : first + PART]
                file = self.folder / f"{_key(decides, part)}.npz"
                if (found := _read(file)) is None:
                    found = make(part)
                    _write(file, found)
                else:
                    before += len(part)
                parts.append(found)
                bar.update(task, advance=len(part))
        if before:
            say(f"assay: {title}: {before} of {len(samples)} images were there already, in {self.folder}")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fingerprint(*files: Path) -> str:
    """The SHA-256 of the contents of the files, those that are missing left out."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _key(decides: Mapping[str, str], part: Sequence[Sample]) -> str:
    rows = [[str(one.path), one.label, one.split, one.group, one.pool, *_state(one.path)] for one in part]
    text = json.dumps([own_version(), sorted(decides.items()), rows])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _state(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _read(file: Path) -> Arrays | None:
    """None where there is none, or one that was cut short."""
    with suppress(OSError, ValueError, EOFError, BadZipFile), file.open("rb") as stream:
        return dict(np.load(stream))
    return None


def _write(file: Path, arrays: Arrays) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    partial.replace(file)
