"""Synthetic camera noise: a photograph taken back to raw sensor values, made noisy, and processed again.

Noise is simple only on the sensor: photons are counted (Poisson) and read out (Gaussian). White balance,
demosaicing, the colour matrix and tone curves then make it depend on colour and brightness and spread it
over neighbours. So "CycleISP" (Zamir et al. 2020) adds it to raw values. There networks lead to them and
back; here it is the chain of "Unprocessing Images for Learned Raw Denoising" (Brooks et al. 2019), without
its special case for highlights, and with that paper's distributions.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

Values = NDArray[np.floating]

# Linear sRGB to XYZ (IEC 61966-2-1), and XYZ to the sensors' colours of four cameras as their DNG files say.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_SENSORS = (
    np.array([[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]]),
    np.array([[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]]),
    np.array([[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]]),
    np.array([[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]]),
)


@dataclass(frozen=True, slots=True)
class Camera:
    """What a camera does between sensor and file.

    matrix: (3, 3) linear sRGB -> the sensor's colours, rows summing to 1; gains: (3,) white balance and
    exposure by which raw red, green and blue are multiplied.
    """

    matrix: Values
    gains: Values

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A random mixture of four cameras' matrices, and usual gains."""
        mixture = rng.dirichlet(np.ones(len(_SENSORS)))
        matrix = np.tensordot(mixture, np.stack(_SENSORS), axes=1) @ _XYZ
        exposure = 1 / rng.normal(0.8, 0.1)
        gains = exposure * np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)])
        return cls(matrix / matrix.sum(axis=1, keepdims=True), gains)

    def unprocess(self, rgb: Values) -> Values:
        """(H, W, 3) RGB in 0..1 -> raw red, green and blue at every place, of the same dtype."""
        linear = _expand(0.5 - np.sin(np.arcsin(1 - 2 * rgb) / 3))
        raw: Values = linear @ self.matrix.T.astype(rgb.dtype) / self.gains.astype(rgb.dtype)
        return raw

    def process(self, raw: Values) -> Values:
        """The way back, clipped to 0..1: gains, colour matrix, sRGB's transfer curve, a smoothstep."""
        linear = (raw * self.gains.astype(raw.dtype)) @ np.linalg.inv(self.matrix).T.astype(raw.dtype)
        tones = _compress(np.clip(linear, 0, 1))
        rgb: Values = tones * tones * (3 - 2 * tones)
        return rgb


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """The variance of raw value x is shot * x + read; values are 1 at saturation.

    shot: what one photon counts; read: variance of the read-out.
    """

    shot: float
    read: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Shot noise evenly on a logarithmic scale, read noise along with it, as Brooks et al. fitted it."""
        shot = np.exp(rng.uniform(np.log(1e-4), np.log(0.012)))
        read = np.exp(2.18 * np.log(shot) + 1.20 + rng.normal(0, 0.26))
        return cls(float(shot), float(read))

    def sample(self, values: Values, rng: np.random.Generator) -> Values:
        """`values` as they were measured: photons counted, read-out added. Below 0 there are no photons."""
        photons = rng.poisson(np.maximum(values, 0) / self.shot) * self.shot + np.minimum(values, 0)
        measured: Values = (photons + rng.normal(0, self.read**0.5, values.shape)).astype(values.dtype)
        return measured


def noisy(rgb: Values, rng: np.random.Generator) -> Values:
    """A photograph (H, W, 3) in 0..1 with the noise of a random camera: same shape, dtype and range."""
    camera, level = Camera.draw(rng), NoiseLevel.draw(rng)
    top, left = rng.integers(2, size=2)
    raw = camera.unprocess(rgb)
    return camera.process(raw + sensor_noise(raw, level, rng, int(top), int(left)))


def sensor_noise(
    raw: Values, level: NoiseLevel, rng: np.random.Generator, top: int = 0, left: int = 0
) -> Values:
    """The noise of raw values (H, W, 3) seen through a Bayer mosaic and demosaiced bilinearly.

    The mosaic is red at (top, left). Demosaicing is linear, so noise alone passes through it and the
    photograph keeps its detail.
    """
    height, width, _ = raw.shape
    mask = _mosaic(height, width, top, left)
    noise = np.zeros(raw.shape, raw.dtype)
    noise[mask] = level.sample(raw[mask], rng) - raw[mask]
    spread: Values = np.stack(
        [
            correlate(noise[..., colour], _taps(colour == 1).astype(raw.dtype), mode="mirror")
            for colour in range(3)
        ],
        -1,
    )
    return spread


@lru_cache(16)
def _mosaic(height: int, width: int, top: int, left: int) -> NDArray[np.bool_]:
    """(H, W, 3), true for the one colour that is measured at each place."""
    rows, columns = (np.arange(height) - top)[:, None] % 2, (np.arange(width) - left)[None] % 2
    return np.stack([(rows == 0) & (columns == 0), rows != columns, (rows == 1) & (columns == 1)], axis=-1)


def _taps(green: bool) -> Values:
    """The 3 x 3 filter that fills in a colour where it was not measured."""
    if green:
        return np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    return np.outer([1, 2, 1], [1, 2, 1]) / 4


def _expand(values: Values) -> Values:
    """sRGB's transfer curve undone."""
    curve: Values = np.where(
        values <= 0.04045, values / 12.92, ((np.maximum(values, 0.04045) + 0.055) / 1.055) ** 2.4
    )
    return curve


def _compress(values: Values) -> Values:
    """sRGB's transfer curve."""
    curve: Values = np.where(
        values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    )
    return curve
