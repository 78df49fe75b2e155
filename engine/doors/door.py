"""What every door of a running server can do: start, drain, stop."""

from typing import Protocol


class Door(Protocol):
    """A way in for images. `serve` calls the methods in the order in which they stand, from one thread."""

    def start(self) -> None:
        """Lets images in; returns when they can come. Raises SetupError where it cannot."""

    def drain(self, timeout: float) -> None:
        """Lets nothing new in and answers what was received; returns when done or after `timeout` seconds."""

    def stop(self) -> None:
        """Gives up what is still open and releases everything. Harmless after a drain and when repeated."""
