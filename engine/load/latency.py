"""Latencies of many images in a few numbers."""

import numpy as np
from numpy.typing import NDArray

from assay.engine.load.result import Latency

BEYOND = 2
"""Images that have to lie beyond a percentile for it to be said."""
CURVE = 60


def latency(seconds: NDArray[np.float64]) -> Latency | None:
    """None where there are no images."""
    if not len(seconds):
        return None
    ordered = np.sort(seconds)
    p95, p99, p999 = (_told(ordered, share) for share in (0.95, 0.99, 0.999))
    return Latency(
        images=len(ordered),
        mean=float(ordered.mean()),
        p50=percentile(ordered, 0.5),
        p95=p95,
        p99=p99,
        p999=p999,
        max=float(ordered[-1]),
        curve=[(share, percentile(ordered, share)) for share in _shares(len(ordered))],
    )


def percentile(ordered: NDArray[np.float64], share: float) -> float:
    """The smallest measured value that `share` of all values do not exceed."""
    return float(ordered[max(0, int(np.ceil(share * len(ordered) - 1e-9)) - 1)])


def _told(ordered: NDArray[np.float64], share: float) -> float | None:
    return percentile(ordered, share) if len(ordered) * (1 - share) >= BEYOND - 1e-9 else None


def _shares(images: int) -> list[float]:
    """Even on an axis on which 90, 99 and 99.9 % are equally far from each other, up to the second worst."""
    nines = np.linspace(0, max(0.0, np.log10(images / BEYOND)), CURVE)
    return [float(share) for share in 1 - 10.0**-nines]
