"""Sends what is ready, from a thread of its own: whoever makes something ready never waits for the other end.

So neither end of a link can stand still because the other one does, and under load one message carries all
that became ready while the last one was sent. To send from the thread that made something ready saves waking
this one, and was measured: messages carry less each then, and an image costs as much or more.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

from assay.engine.worker.channel import Channel

log = logging.getLogger(__name__)


class Outbox:
    """`gather` returns the next message, empty where there is none; it is called in the thread.

    It is called when something was noted (`notify`), and after as many seconds as `again` says.
    """

    def __init__(
        self,
        channel: Channel,
        gather: Callable[[], dict[str, Any]],
        again: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._gather = gather
        self._again = again
        self._ready = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="assay-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """There is something to gather."""
        if not self._ready.is_set():
            self._ready.set()

    def close(self) -> None:
        """Send nothing more; returns when the thread has ended, unless it is the caller."""
        self._closed = True
        self._ready.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._ready.wait(self._again())
            self._ready.clear()
            try:
                while not self._closed and (message := self._gather()):
                    self._channel.send(message)
            except (EOFError, OSError):  # whoever reads notices, too
                return
            except Exception:  # a defect of ours: silent, the other end would wait for ever
                log.exception("what one end of a link has to say cannot be sent")
                self._channel.shut()
                return
