"""What operators ask of a front, passed on to the `Control` of the engine's process."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from assay.engine.bundle import Bundle
from assay.engine.control import loadable
from assay.engine.fronts import wire


class FrontOperations:
    """`Operations` of which `post` sends the message; `bundles` are those served."""

    def __init__(
        self,
        repository: Path | None,
        bundles: Callable[[], Mapping[str, Bundle]],
        post: Callable[[dict[str, Any]], None],
    ) -> None:
        self.repository = repository
        self._bundles = bundles
        self._post = post
        self._lock = threading.Lock()
        self._calls = count()
        self._asked: dict[int, Future[None]] = {}

    def load(self, name: str) -> Future[None]:
        return self._ask("load", name)

    def unload(self, name: str) -> Future[None]:
        return self._ask("unload", name)

    def index(self) -> Mapping[str, str]:
        return loadable(self.repository, self._bundles())

    def hear(self, said: list[Any]) -> None:
        """The engine's answer: the call, and what was wrong."""
        call, error = said
        asked = self._asked.pop(call)
        if not asked.set_running_or_notify_cancel():
            return
        if error:
            asked.set_exception(wire.to_error(error))
        else:
            asked.set_result(None)

    def _ask(self, verb: str, name: str) -> Future[None]:
        with self._lock:
            call = next(self._calls)
            future = self._asked[call] = Future()
        self._post({"operate": [[call, verb, name]]})
        return future
