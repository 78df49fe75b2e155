"""One byte budget for everything the engine holds: encoded, decoded and intermediate bytes of each image.

A bound on items bounds nothing: images differ a thousandfold in size. The backlog may use three quarters;
the rest is kept for interactive callers, so that a topic with a large lag cannot lock them out.
"""

import threading

from assay.engine.item import Priority

BACKLOG_SHARE = 0.75


class Budget:
    """Bytes granted and given back. Thread-safe."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._used = 0
        self._lock = threading.RLock()
        self._freed = threading.Condition(self._lock)

    @property
    def used(self) -> int:
        return self._used

    @property
    def full(self) -> bool:
        return self._used >= self.total

    def limit(self, priority: Priority) -> int:
        """Bytes that items of this priority may fill the budget up to."""
        return int(self.total * BACKLOG_SHARE) if priority is Priority.BACKLOG else self.total

    def reserve(self, count: int, priority: Priority, wait: bool = False) -> bool:
        """Take `count` bytes; without room, wait for it or return False."""
        limit = self.limit(priority)
        with self._lock:
            while self._used + count > limit:
                if not wait:
                    return False
                self._freed.wait()
            self._used += count
            return True

    def release(self, count: int) -> None:
        with self._lock:
            self._used -= count
            self._freed.notify_all()
