"""`lnp`: the face, the noise pattern that the denoiser found, and its spectra."""

import numpy as np
from PIL import Image

from assay.engine.detectors.lnp import Parameters
from assay.engine.explain.seen import Floats, Seen, enlarged, stretched
from assay.engine.explain.sheet import Panel
from assay.engine.picture import turned

SIDE = 256


def panels(seen: Seen) -> list[Panel]:
    parameters = Parameters.model_validate(seen.manifest.parameters)
    (views,), (pattern, spectra) = seen.calls["denoise"].inputs, seen.calls["classify"].inputs
    half = parameters.planes // 2
    rms = " ".join(f"{value:.4f}" for value in seen.detection.evidence["pattern_rms"])
    return [
        Panel("Photograph", seen.photo(500).image),
        Panel("The view that is denoised", enlarged(seen.views(views)[0], SIDE)),
        Panel(
            "Its noise pattern",
            enlarged(turned(stretched(pattern[0]), seen.orientation), SIDE),
            [f"contrast stretched; root mean square {rms} (red, green, blue)"],
            line=True,
        ),
        Panel(
            "Amplitude of the pattern's spectrum",
            enlarged(spectrum_image(spectra[0, :half], parameters), SIDE),
            ["of the view as stored; frequency 0 in the middle, contrast stretched"],
        ),
        Panel("Phase", enlarged(spectrum_image(spectra[0, half:], parameters, phase=True), SIDE)),
    ]


def spectrum_image(planes: Floats, parameters: Parameters, phase: bool = False) -> Image.Image:
    """Spectral planes (1 or 3, S, S) as the classifier reads them -> a picture, frequency 0 in the middle."""
    values = planes if parameters.centred else np.fft.fftshift(planes, axes=(1, 2))
    if not phase and parameters.amplitude != "log":
        values = np.log(values + 1e-12)  # else all but the lowest frequencies is black
    return stretched(values[0] if len(values) == 1 else values)
