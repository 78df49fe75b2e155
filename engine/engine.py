"""`Engine`: the core for people who write Python."""

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from types import TracebackType
from typing import Self, overload

from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.config import load
from assay.engine.core import Core
from assay.engine.item import Item
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings

Encoded = bytes | bytearray | memoryview


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
        self.core = Core(
            [one if isinstance(one, Bundle) else find(fspath(one)) for one in named],
            settings or load(Settings),
        )

    @overload
    def score(self, data: Encoded) -> Outcome: ...
    @overload
    def score(self, data: Iterable[Encoded]) -> list[Outcome]: ...
    def score(self, data: Encoded | Iterable[Encoded]) -> Outcome | list[Outcome]:
        """One outcome per image, in order; ids are their positions. Blocks while the budget is full.

        data: an encoded image as `bytes`, `bytearray` or `memoryview`, or several; one that can be changed is
        copied first.

        Raises:
            TypeError: it is anything else, such as a path or decoded pixels; nothing was scored then.
        """
        if isinstance(data, bytes | bytearray | memoryview):
            return self.score([data])[0]
        if not isinstance(data, Iterable) or isinstance(data, str | Mapping) or _is_buffer_or_file(data):
            raise TypeError(_sentence("this", data))
        items = [Item(str(number), _bytes(f"image {number}", one)) for number, one in enumerate(data)]
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


def _bytes(name: str, data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise TypeError(_sentence(name, data))


def _is_buffer_or_file(data: object) -> bool:
    """Whether going through `data` gives pieces of it, and not images: arrays, maps of memory, open files."""
    if hasattr(data, "read"):
        return True
    try:
        memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _sentence(name: str, data: object) -> str:
    advice = ""
    if isinstance(data, str | PathLike):
        advice = "; if it is a path, read the file first: Path(...).read_bytes()"
    elif hasattr(data, "read"):
        advice = "; read the file first: file.read()"
    elif hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        advice = "; decoded pixels are not scored, and the bytes of a file in an array are array.tobytes()"
    return (
        "Engine.score takes the bytes of an encoded image (bytes, bytearray or memoryview), or a list of "
        f"them, but {name} is of type {type(data).__name__}{advice}"
    )
