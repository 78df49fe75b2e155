"""When images arrive at an open loop."""

import numpy as np
from numpy.typing import NDArray

from assay.engine.errors import SetupError

MOST = 1_000_000
"""Images of one round: each has its times kept, in 25 bytes."""


def poisson(rate: float, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Moments in 0..seconds, in order, of independent arrivals: a Poisson process of which it is known that
    `rate` a second came, so that a short round has the rate that was asked for, too.

    Raises SetupError where these are more than `MOST`.
    """
    check_number(rate, seconds)
    return np.sort(np.random.default_rng(seed).uniform(0, seconds, round(rate * seconds)))


def in_words(rate: float) -> str:
    """Three digits that matter, and no power of ten."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def check_number(rate: float, seconds: float) -> None:
    """Raises SetupError where more than `MOST` images would arrive."""
    if rate * seconds > MOST:
        raise SetupError(
            f"{in_words(rate)} images/s for {seconds:g} s are more than the {MOST:,} images that a round may "
            "have: lower --rates or --seconds"
        )
