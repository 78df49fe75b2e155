"""Images and bands for tests of spectra: every small size, odd and even, and bands where rounding matters."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


@dataclass(frozen=True)
class Case:
    """images (B, C, H, W), amplitude and phase bands (B, C, K, 4), all float32."""

    images: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[3]


@st.composite
def images(draw: st.DrawFn, largest: int = 24) -> NDArray[np.float32]:
    shape = [draw(st.integers(1, most)) for most in (2, 3, largest, largest)]
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@st.composite
def cases(draw: st.DrawFn, largest: int = 24) -> Case:
    pixels = draw(images(largest))
    batch, channels, height, width = pixels.shape
    count = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    share = draw(st.sampled_from([0.0, 0.5, 1.0]))
    rng = np.random.default_rng(seed)
    amplitude, phase = (bands(rng, (batch, channels, count), height, width, share) for _ in range(2))
    return Case(pixels, amplitude, phase)


def bands(
    rng: np.random.Generator, shape: tuple[int, int, int], height: int, width: int, share: float
) -> NDArray[np.float32]:
    """Bands of the given (B, C, K), valid and not, below 0 and above 1; a `share` of the ends is i / length,
    where float32 and float64 disagree about floor(value * length).
    """
    lengths = np.array((height, height, width // 2 + 1, width // 2 + 1), np.float32)
    free = rng.uniform(-0.3, 1.8, (*shape, 4)).astype(np.float32)
    exact = np.floor(free * lengths).astype(np.float32) / lengths
    return np.where(rng.random(free.shape) < share, exact, free)


def prior_bands(rng: np.random.Generator, shape: tuple[int, int, int], spread: float) -> NDArray[np.float32]:
    """Bands as the published network starts out with: prior + sigmoid of something around 0."""
    prior = np.linspace(0, 0.9, shape[2], dtype=np.float32)[:, None]
    logits = rng.normal(0, spread, (*shape, 4))
    return (prior + 1 / (1 + np.exp(-logits))).astype(np.float32)
