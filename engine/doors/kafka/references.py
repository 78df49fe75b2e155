"""Claim check: records that say where their image lies, in the place of its bytes.

What they name is opened only below the roots that the operator allows, and by its text as it stands: nothing
is decoded, and what could mean a place outside under anybody's reading of it is refused.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from assay.engine.doors.kafka import events
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import MIB

HEADER = "assay-reference"
LONGEST = 4096
SHOWN = 200
PIECE = 4 * MIB
URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/]*)(?P<path>/.*)", re.DOTALL)
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\?#]|::|(^|/)\.{1,2}(/|$)|[^/]/{2,}|^/{2,}")
"""In a path: control characters, backslashes, queries, fsspec's chains, dot segments and empty ones."""
REDIRECTED = ("http", "https")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object lies, or what lies below, if `path` ends with a slash."""

    scheme: str
    host: str
    path: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"

    def holds(self, other: "Place") -> bool:
        """Whether `other` lies below."""
        return (self.scheme, self.host) == (other.scheme, other.host) and other.path.startswith(self.path)


def read_place(url: str) -> Place:
    """What a URL names. Raises ValueError, with a sentence, for one that can be read in more than one way."""
    found = URL.fullmatch(url)
    if not found or len(url) > LONGEST:
        raise ValueError("it is no URL such as s3://bucket/images/1.jpg")
    path, seen = found["path"], ""
    while path != seen:  # as often as somebody might decode it
        if FORBIDDEN.search(path):
            raise ValueError("its path has dot segments, empty ones, control characters, a query or a chain")
        path, seen = unquote(path), path
    return Place(found["scheme"], found["host"], found["path"])


def read_root(url: str) -> Place:
    """The root that the setting means. Raises ValueError."""
    place = read_place(url if url.endswith("/") else url + "/")
    if place.scheme in REDIRECTED:
        raise ValueError(f"{place.scheme} is not taken, because servers may redirect to what is outside")
    if place.scheme == "file" and place.host:
        raise ValueError("a root of files is file:///PATH, with three slashes")
    return place


def check_installed(roots: Sequence[str]) -> None:
    """Raises `SetupError` where what reads below `roots` is not installed."""
    for scheme in {read_root(root).scheme for root in roots} - {"file"}:
        try:
            import fsspec

            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            raise SetupError(
                f"reference_roots of [kafka]: {scheme} cannot be read ({error}):"
                " pip install 'assay[references]' and what fsspec needs for it"
            ) from None


def reference(record: Any) -> bytes | None:
    """What a record without a value says of where its image lies, None where it says nothing."""
    return None if record.value else events.told(record.headers, HEADER, "dataref")


def locate(said: bytes, roots: Sequence[Place]) -> tuple[Place, Place]:
    """The root and the object that a reference names. Raises `Refused`: it is outside of all roots."""
    shown = said[:SHOWN].decode(errors="replace")
    try:
        place = read_place(said.decode())
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise Refused(
            Reason.REFERENCE_REFUSED, f"The reference {shown!r} is not followed: {why}.", reference=shown
        ) from None
    for root in roots:
        if root.holds(place) and not place.path.endswith("/"):
            return root, place
    raise Refused(
        Reason.REFERENCE_REFUSED, f"The reference {shown!r} is outside of what may be read.", reference=shown
    )


class Source(Protocol):
    """An object that is open: its size in bytes, and its bytes, piece by piece."""

    size: int

    def pieces(self) -> Iterator[bytes]:
        """At most one byte more than `size` says."""

    def close(self) -> None: ...


def open_source(root: Place, place: Place) -> Source:
    """Open what `locate` found. Raises `Refused`, or whatever the file system raises."""
    try:
        return _File(root, place) if place.scheme == "file" else _Object(place)
    except FileNotFoundError:
        raise Refused(
            Reason.REFERENCE_MISSING, f"There is nothing at {place.url[:SHOWN]}.", reference=place.url[:SHOWN]
        ) from None


class _File:
    def __init__(self, root: Place, place: Place) -> None:
        top, real = os.path.realpath(root.path), os.path.realpath(place.path)
        if os.path.commonpath([top, real]) != top:
            raise _refused(place, "a link leads outside of what may be read")
        # not to wait for a writer, should it be a FIFO
        self._number = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found, named = os.fstat(self._number), os.stat(real)
            if os.path.realpath(real) != real or not os.path.samestat(found, named):
                raise _refused(place, "it was replaced while it was opened")
            if not stat.S_ISREG(found.st_mode):
                raise _refused(place, "it is no regular file")
        except BaseException:
            self.close()
            raise
        self.size = found.st_size

    def pieces(self) -> Iterator[bytes]:
        left = self.size + 1
        while left > 0 and (piece := os.read(self._number, min(PIECE, left))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        os.close(self._number)


class _Object:
    """By fsspec, which is told by its own configuration who we are."""

    def __init__(self, place: Place) -> None:
        import fsspec

        self._url = place.url
        self._files = fsspec.filesystem(place.scheme)
        found = self._files.info(self._url)
        if found.get("type") != "file" or not isinstance(found.get("size"), int):
            raise _refused(place, "it is no object with a size")
        self.size = found["size"]

    def pieces(self) -> Iterator[bytes]:
        for start in range(0, self.size + 1, PIECE):
            yield self._files.cat_file(self._url, start=start, end=min(start + PIECE, self.size + 1))

    def close(self) -> None:
        pass


def _refused(place: Place, why: str) -> Refused:
    shown = place.url[:SHOWN]
    return Refused(
        Reason.REFERENCE_REFUSED, f"The reference {shown!r} is not followed: {why}.", reference=shown
    )
