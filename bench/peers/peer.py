"""A peer: a server that does what Assay does, by other means. One file each."""

import sys
from abc import ABC, abstractmethod
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from assay.bench.peers.client import Client
from assay.bench.peers.setup import Setup

PRECISIONS = ("fp32", "int8", "best")


class Peer(ABC):
    """What the harness has to know of one. `packages` are distributions, the first one its own."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    note: ClassVar[str]
    """How it is set up, for the table's reader."""
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    patience: ClassVar[float] = 120.0
    """Seconds that it has from its start to its first answer."""
    tolerance: ClassVar[float] = 0.002
    """Largest difference of a probability from Assay's in the same precision, where none is rounded away."""

    @abstractmethod
    def command(self, setup: Setup) -> list[str]:
        """What starts it, in the foreground. Its environment is the set-up's."""

    def variables(self, setup: Setup) -> dict[str, str]:
        """Environment variables of the command beside the set-up's."""
        return {}

    @abstractmethod
    def client(self, port: int) -> Client: ...

    def absent(self) -> str | None:
        """Why it cannot run here, or None."""
        missing = [package for package in self.packages if versioned(package) is None]
        return f"not installed: {', '.join(missing)}" if missing else None

    def is_worker(self, pid: int, setup: Setup) -> bool:
        """Whether a process of it scores images; all others are its front."""
        return pid in setup.entered()

    def version(self) -> str:
        return ", ".join(f"{package} {versioned(package)}" for package in self.packages)


def python(module: str) -> list[str]:
    """A module of `servers`, by this Python."""
    return [sys.executable, "-P", "-m", f"assay.bench.peers.servers.{module}"]


def versioned(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
