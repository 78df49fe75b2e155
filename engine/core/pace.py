"""How long images take at present, which says how long one that comes now would wait."""

from collections.abc import Iterable

WEIGHT = 0.1
"""Of the newest batch in the mean of a bundle, once there were enough of them for a mean."""


class Pace:
    """Exponentially weighted mean of the seconds that a worker spends on an image, of each bundle.

    Written by one thread a worker and read by any: a lost update is one batch that counts for nothing.
    """

    def __init__(self) -> None:
        self._means: dict[str, tuple[float, int]] = {}

    def note(self, bundle: str, images: int, seconds: float) -> None:
        """A worker was busy for `seconds` with a batch of `images`."""
        mean, batches = self._means.get(bundle, (0.0, 0))
        batches += 1
        mean += max(WEIGHT, 1 / batches) * (seconds / images - mean)
        self._means[bundle] = mean, batches

    def of(self, bundle: str) -> float:
        """Seconds an image of one worker; 0 before the first batch."""
        return self._means[bundle][0] if bundle in self._means else 0.0

    def total(self, waiting: Iterable[tuple[str, int]]) -> float:
        """Seconds that one worker needs for so many images of each bundle."""
        return sum(self.of(bundle) * count for bundle, count in waiting)
