"""`Engine`: the core for people who write Python."""

from collections.abc import Iterable
from os import PathLike, fspath
from types import TracebackType
from typing import Self, overload

from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.core import Core
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings


class Engine:
    """Scores encoded images.

        with Engine() as engine:                      # the bundle that ships with Assay
            outcome = engine.score(data)              # bytes -> Outcome
            outcomes = engine.score([first, second])  # list of bytes -> list of Outcomes

    `bundles` are names of shipped bundles, paths of bundle folders, or `Bundle`s; the first one scores.

    Raises:
        BundleError: a bundle cannot be served.
        SetupError: a setting does not work on this machine.
        EngineFault: no worker could be started.
    """

    def __init__(self, *bundles: str | PathLike[str] | Bundle, settings: Settings | None = None) -> None:
        named = bundles or (DEFAULT,)
        self.core = Core([one if isinstance(one, Bundle) else find(fspath(one)) for one in named], settings)

    @overload
    def score(self, data: bytes) -> Outcome: ...
    @overload
    def score(self, data: Iterable[bytes]) -> list[Outcome]: ...
    def score(self, data: bytes | Iterable[bytes]) -> Outcome | list[Outcome]:
        """One outcome per image, in order; ids are their positions. Blocks while the budget is full."""
        if isinstance(data, bytes):
            return self.score([data])[0]
        items = [Item(id=str(number), data=one) for number, one in enumerate(data)]
        return [future.result() for future in self.core.submit(items, wait=True)]

    def close(self) -> None:
        """End the workers."""
        self.core.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
