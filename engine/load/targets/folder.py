"""What `assay scan` does with a folder: files are read, and an engine in this process scores them."""

import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from assay.engine.core import Core
from assay.engine.doors.files import read_file
from assay.engine.errors import AssayError
from assay.engine.item import Item
from assay.engine.load.images import Images
from assay.engine.load.target import Answered, Failure
from assay.engine.outcome import Outcome, Refused
from assay.engine.scratch import Scratch

ENGINE = "ENGINE"


class Folder:
    """Files of a temporary folder through `core`, as many at a time as it has room for."""

    def __init__(self, core: Core, images: Images, holds: int) -> None:
        self.place = "a folder"
        self.holds = holds
        self._core = core
        self._scratch = Scratch("assay-bench-")
        self._paths = [self._scratch.path / f"{place:06}" for place in range(len(images))]
        for path, data in zip(self._paths, images.files, strict=True):
            path.write_bytes(data)
        self._waiting: SimpleQueue[tuple[int, Answered] | None] = SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="assay-bench-folder", daemon=True)
        self._thread.start()

    def send(self, number: int, answered: Answered) -> None:
        self._waiting.put((number, answered))

    def close(self) -> None:
        """Files that were not read yet are forgotten."""
        self._closing = True
        self._waiting.put(None)
        self._thread.join()
        self._scratch.close()

    def _run(self) -> None:
        while (one := self._waiting.get()) is not None and not self._closing:
            self._submit(*one)

    def _submit(self, number: int, answered: Answered) -> None:
        path = self._paths[number % len(self._paths)]
        try:
            data = read_file(path, self._core.settings.limits)
        except Refused as refused:
            answered(refused.rejection(str(path)))
            return
        try:
            [future] = self._core.submit([Item(str(path), data)], wait=True)
        except AssayError as error:
            answered(Failure(ENGINE, str(error)))
            return
        future.add_done_callback(partial(_answer, answered))


def _answer(answered: Answered, future: Future[Outcome]) -> None:
    error = future.exception()
    answered(Failure(ENGINE, str(error)) if error else future.result())
