"""What stands behind a door: the core itself, or, in a front process, what passes everything on to it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from assay.engine.bundle import Bundle
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings


class Backend(Protocol):
    """Scores items; see the methods of `Core`."""

    settings: Settings

    @property
    def bundles(self) -> Mapping[str, Bundle]: ...
    @property
    def serving(self) -> bool: ...
    def submit(self, items: Sequence[Item]) -> list[Future[Outcome]]: ...
    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]: ...
    def pause(self, coming: int = 0) -> float | None: ...


class Operations(Protocol):
    """What operators may ask for; see the methods of `Control`."""

    repository: Path | None

    def load(self, name: str) -> Future[None]: ...
    def unload(self, name: str) -> Future[None]: ...
    def index(self) -> Mapping[str, str]: ...
