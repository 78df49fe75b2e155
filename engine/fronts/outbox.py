"""Sends what is ready. Whoever makes something ready sends it, where the other end has room, and never waits.

A thread for each message would cost more than the message. Under load one message carries all that became
ready while the last one was sent. What the socket has no room for is left to a thread, which waits for it: so
neither end of a link can stand still because the other one does.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

from assay.engine.worker.channel import Channel, packed

log = logging.getLogger(__name__)


class Outbox:
    """`gather` returns the next message, empty where there is none. It is called by one thread at a time, by
    any that notes something (`notify`), and must not wait for another.

    While `again` says a number of seconds, it is called by the outbox' own thread alone, after each note and
    after so long without one: what takes longer belongs there.
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
        self._noted = False
        self._sending = threading.Lock()
        self._rest = b""  # of a message that the socket had no room for
        self._ready = threading.Event()
        self._open = False
        self._thread = threading.Thread(target=self._run, name="assay-outbox", daemon=True)

    def start(self) -> None:
        self._open = True
        self._thread.start()
        self.notify()

    def notify(self) -> None:
        """There is something to gather. Returns at once; from any thread, within a `gather`, too."""
        self._noted = True
        while self._noted and self._open:
            if self._again() is not None:
                self._ready.set()
                return
            if not self._sending.acquire(blocking=False):
                return  # whoever has it looks again
            try:
                done = self._rest == b"" and self._send(self._channel.send_some)
            finally:
                self._sending.release()
            if not done:
                self._ready.set()
                return

    def close(self) -> None:
        """Send nothing more; returns when no thread does, unless it is the caller."""
        self._open = False
        self._ready.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        with self._sending:
            pass

    def _send(self, send: Callable[[bytes], int]) -> bool:
        """Send all that is ready -> whether it was; `send` says how many bytes it took."""
        try:
            while self._noted and self._open:
                self._noted = False
                while self._open and (message := self._gather()):
                    body = packed(message)
                    if (sent := send(body)) < len(body):
                        self._rest = body[sent:]
                        self._noted = True
                        return False
        except (EOFError, OSError):  # whoever reads notices, too
            self._open = False
        except Exception:  # a defect of ours, which must not reach whoever noted something
            log.exception("what one end of a link has to say cannot be sent")
            self._open = False
            self._channel.shut()
        return True

    def _run(self) -> None:
        while self._open:
            self._ready.wait(self._again())
            self._ready.clear()
            with self._sending:
                self._noted = True
                try:
                    self._channel.send_all(self._rest)
                except (EOFError, OSError):
                    self._open = False
                self._rest = b""
                self._send(self._channel.send_all)
            if self._noted:  # by somebody who found it sending
                self._ready.set()
