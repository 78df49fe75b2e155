"""What every door of a running server can do, and what `assay serve` needs to open one."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pydantic_settings import BaseSettings

from assay.engine.core import Core
from assay.engine.doors.backend import Backend, Operations
from assay.engine.doors.inference.statistics import Counted
from assay.engine.errors import AssayError


class Door:
    """A way in. `serve` calls the methods in the order in which they stand, from one thread."""

    counted: Counted | None = None
    """What it counts of each model beside metrics."""

    def on_failure(self, callback: Callable[[AssayError], None]) -> None:
        """Has `callback` called, once and from any thread, with what ended the door while it served, such as
        a broker that is lost for good."""

    def operate(self, control: Operations) -> None:
        """Has the calls of operators answered by `control`, where the door knows such calls."""

    def start(self) -> None:
        """Lets images in; returns when they can come. Raises SetupError where it cannot."""
        raise NotImplementedError

    def resume(self) -> None:
        """`start`, in the place of a door that served and ended with its process: what was there then and is
        away now, such as a broker, is waited for while all else is served."""
        self.start()

    def ready_when(self, serving: Callable[[], bool]) -> None:
        """Has what the door says of readiness depend on `serving`, too, where it says something."""

    def not_serving(self) -> None:
        """Tells those who ask that the end is near; images are still let in."""

    def drain(self, timeout: float) -> None:
        """Lets nothing new in and answers what was received; returns when done or after `timeout` seconds."""

    def stop(self) -> None:
        """Gives up what is still open and releases everything. Harmless after a drain and when repeated."""
        raise NotImplementedError


@dataclass(frozen=True)
class Spread:
    """How several processes have a door of a kind each, for one server.

    make: a door, still closed, that shares with those of other processes.
    part: settings of the one with a number, counted from 0, among so many.
    hold: the settings for all of them, with what has to be held open meanwhile entered.
    """

    make: Callable[[Backend, Any], Door]
    part: Callable[[Any, int, int], BaseSettings]
    hold: Callable[[Any, ExitStack], BaseSettings] = lambda settings, stack: settings


@dataclass(frozen=True)
class DoorKind:
    """What `assay serve` needs of a kind of door.

    settings: its table of settings; make: a door, still closed, of a core and these settings.
    takes: what the option that opens it takes, as errors name it; options: spelling and help of the options
        by setting. The first one opens the door, as the variable of its setting does.
    scores: whether images come in by it.
    check: raises SetupError where the settings cannot be served, before an engine is built for them.
    spread: how front processes have it; None: it stays with the engine.
    """

    settings: type[BaseSettings]
    make: Callable[[Core, Any], Door]
    takes: str
    options: Mapping[str, tuple[str, str]]
    scores: bool = True
    check: Callable[[Any], None] = lambda settings: None
    spread: Spread | None = None

    @property
    def opening(self) -> str:
        """The setting that opens it."""
        return next(iter(self.options))

    @property
    def prefix(self) -> str:
        """What the variables of its settings begin with."""
        return str(self.settings.model_config.get("env_prefix"))
