"""Where what is built from bundles lies: TensorRT engines, and graphs quantised on this machine.

The folder is the one that `assay compile -o` names, that of the variable ASSAY_CACHE, else `assay` in the
user's cache folder. A bundle is never written to, and what is in the cache can be built again, so the folder
may be deleted or moved at any time. Several processes may use it at once.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from assay.engine.errors import BundleError, SetupError
from assay.engine.version import own_version

if TYPE_CHECKING:
    from assay.engine.bundle import GraphSpec


def folder() -> Path:
    """The cache folder unless one is named; it need not exist yet."""
    if named := os.environ.get("ASSAY_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"


@dataclass(frozen=True)
class Cache:
    """Where things lie in a cache folder, which need not exist yet."""

    root: Path = field(default_factory=folder)

    @property
    def _own(self) -> Path:
        """Assay's version is part of every place, because conversions to lower precisions are Assay's own."""
        return self.root / f"assay-{own_version()}"

    def engine_file(self, sha256: str, runtime: str, device: str, precision: str) -> Path:
        """Where the engine lies that `runtime` (name and version) built for `device` from the graph of that
        hash."""
        return self._own / runtime / device / f"{sha256}.{precision}.engine"

    def timing_file(self, runtime: str, device: str) -> Path:
        """Where `runtime` keeps what it measured on `device`, so that it need not measure again."""
        return self._own / runtime / device / "timing.cache"

    def int8_cached(self, spec: "GraphSpec") -> Path:
        """Where the int8 form lies that was made on this machine of a graph, if one was."""
        return self._own / "int8" / f"{spec.sha256}.onnx"

    def int8_file(self, file: Path, spec: "GraphSpec") -> Path:
        """The int8 form of the graph in `file`: the bundle's, else one that was made on this machine.

        Raises:
            BundleError: there is none.
        """
        if spec.int8:
            return file.with_name(spec.int8.file)
        cached = self.int8_cached(spec)
        if not cached.is_file():
            raise BundleError(
                f"graph {file}: there is no int8 form of it; with a folder of photographs, `assay compile "
                f"{file.parent} --target openvino --precision int8 --images FOLDER` makes one"
            )
        return cached


def write(file: Path, data: bytes) -> Path:
    """Write a file whole or not at all, whoever else writes it.

    Raises:
        SetupError: the folder cannot be written to.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise SetupError(
            f"{file} cannot be written: {error.strerror}; name a folder with -o or ASSAY_CACHE"
        ) from None
    return file
