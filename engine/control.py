"""What an operator changes in a running server: which bundles it serves.

One change at a time, in a thread of its own; a change that fails leaves everything as it was. What is served
is a copy of each bundle's folder: whatever happens to the folder, a worker that is replaced gets the same.
"""

import logging
import re
import shutil
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from assay.engine import telemetry
from assay.engine.bundle import Bundle, find
from assay.engine.core import Core
from assay.engine.core.refusals import SHOWN, not_served
from assay.engine.errors import AssayError, BundleError, SetupError
from assay.engine.scratch import Scratch

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
"""Of a bundle, and so of its folder."""


@dataclass(frozen=True)
class Source:
    """Where a served bundle came from: the name or folder that was given, the folder, its manifest then."""

    given: str
    folder: Path
    manifest: bytes
    bundle: Bundle


class Bundles:
    """Opens bundles as they are given, and keeps copies. `verify` raises where one may not be served."""

    def __init__(self, verify: Callable[[Path], None]) -> None:
        self._verify = verify
        self._copies = Scratch("assay-bundles-")
        self._number = 0

    def open(self, given: str) -> Source:
        """The bundle that `given` names, a folder or one that ships with Assay.

        Raises:
            BundleError: there is none, it is broken, or may not be served.
            SetupError: there is no room for a copy of it.
        """
        found = find(given)
        if found.ships:
            self._verify(found.path)
            return Source(given, found.path, (found.path / MANIFEST).read_bytes(), found)
        self._number += 1
        copy = self._copies.path / f"{found.name}-{self._number}"
        try:
            shutil.copytree(found.path, copy)
        except OSError as error:
            shutil.rmtree(copy, ignore_errors=True)
            raise SetupError(f"bundle {found.path} cannot be copied to {copy}: {error}") from None
        try:
            self._verify(copy)
            bundle = Bundle.load(copy)
        except BundleError as error:
            shutil.rmtree(copy, ignore_errors=True)
            raise BundleError(str(error).replace(str(copy), str(found.path))) from None
        return Source(given, found.path, (copy / MANIFEST).read_bytes(), bundle)

    def forget(self, sources: Sequence[Source]) -> None:
        """Remove the copies of `sources`."""
        for source in sources:
            if not source.bundle.ships:
                shutil.rmtree(source.bundle.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """Remove all copies."""
        self._copies.close()


def loadable(repository: Path | None, served: Container[str]) -> Mapping[str, str]:
    """Names in a repository that are not served -> why they are not."""
    if repository is None:
        return {}
    try:
        names = sorted(file.parent.name for file in repository.glob(f"*/{MANIFEST}"))
    except OSError:
        return {}
    return {name: "not loaded" for name in names if name not in served}


class Control:
    """Changes what `core` serves, which is `sources` at first.

    `repository`: a folder of bundle folders, from which bundles may be loaded by name; without it none may be
    loaded or unloaded, but `reload` works.
    """

    def __init__(
        self, core: Core, bundles: Bundles, sources: Sequence[Source], repository: Path | None = None
    ) -> None:
        self._core = core
        self._bundles = bundles
        self._sources = list(sources)
        self.repository = repository
        self.on_change: list[Callable[[], None]] = []
        """Called when others are served, before whoever asked for it is answered."""
        self._left: list[Source] = []  # answers what was taken, so its copy is still needed
        self._asked: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, name="assay-control", daemon=True).start()

    def load(self, name: str) -> Future[None]:
        """Serve the bundle in the repository's folder `name`, else read that of `name` anew which is served.

        The future raises BundleError, SetupError or EngineFault, which say why nothing has changed.
        """
        return self._ask(lambda: self._load(name))

    def unload(self, name: str) -> Future[None]:
        """Serve bundle `name` no more. The future raises as that of `load` does."""
        return self._ask(lambda: self._unload(name))

    def reload(self) -> Future[None]:
        """Read those bundles anew of whose folder the manifest has changed."""
        return self._ask(self._reload)

    def index(self) -> Mapping[str, str]:
        """Names that may be loaded and are not served -> why they are not."""
        return loadable(self.repository, self._core.bundles)

    def _ask(self, change: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()
        self._asked.put((change, future))
        return future

    def _run(self) -> None:
        while True:
            change, future = self._asked.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                change()
            except Exception as error:
                known = isinstance(error, AssayError)
                log.error("the bundles stay as they are: %s", error, exc_info=None if known else error)
                telemetry.SWAPS.labels("failed").inc()
                future.set_exception(error if known else SetupError(f"a defect of Assay: {error!r}"))
            else:
                future.set_result(None)

    def _load(self, name: str) -> None:
        served = {source.bundle.name: source for source in self._sources}
        given = self._folder(name)
        if given is None and name in served:
            given = served[name].given
        if given is None:
            raise not_served(name, served) if self.repository is None else _not_there(name, self.repository)
        new = self._bundles.open(given)
        if new.bundle.name != name:
            self._bundles.forget([new])
            raise BundleError(f"bundle {new.folder} calls itself {new.bundle.name!r}, not {name!r}")
        self._serve([*(served | {name: new}).values()])

    def _folder(self, name: str) -> str | None:
        """The repository's folder `name`; a name that leads anywhere else is none."""
        if self.repository is None or not NAME.fullmatch(name):
            return None
        folder = self.repository / name
        return str(folder.absolute()) if folder.is_dir() else None

    def _unload(self, name: str) -> None:
        if name not in self._core.bundles:
            raise not_served(name, self._core.bundles)
        left = [source for source in self._sources if source.bundle.name != name]
        if not left:
            raise SetupError(f"bundle {name!r} alone is served: load another before it is unloaded")
        self._serve(left)

    def _reload(self) -> None:
        sources = []
        opened = []
        try:
            for source in self._sources:
                if _manifest(source.folder) == source.manifest:
                    sources.append(source)
                else:
                    opened.append(self._bundles.open(source.given))
                    sources.append(opened[-1])
        except BaseException:
            self._bundles.forget(opened)
            raise
        if not opened:
            log.info("no bundle has changed")
            return
        self._serve(sources)

    def _serve(self, sources: Sequence[Source]) -> None:
        former = self._sources
        new = [source for source in sources if source not in former]
        try:
            self._core.swap([source.bundle for source in sources])
        except BaseException:
            self._bundles.forget(new)
            raise
        self._bundles.forget(self._left)  # the swap has waited for those that had it
        self._left = [source for source in former if source not in sources]
        self._sources = list(sources)
        for told in self.on_change:
            told()
        telemetry.SWAPS.labels("done").inc()
        log.info("served from now on: %s", ", ".join(_title(source.bundle) for source in sources))


def _title(bundle: Bundle) -> str:
    return f"{bundle.name} {bundle.version}"


def _not_there(name: str, repository: Path) -> BundleError:
    shown = name if len(name) <= SHOWN else name[:SHOWN] + "..."
    return BundleError(f"there is no bundle {shown!r} in {repository}, and none of that name is served")


def _manifest(folder: Path) -> bytes | None:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError:
        return None  # which `open` says in words
