"""An `lnp` bundle without learned weights, and its spectra in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
from numpy.typing import NDArray
from support.manifests import write_bundle

from assay.engine.detectors.lnp.detector import Parameters

SIDE = 32

DENOISE = f"""<ir_version: 8, opset_import: ["" : 18]>
denoise (float[N,3,{SIDE},{SIDE}] image) => (float[N,3,{SIDE},{SIDE}] pattern) {{
  half = Constant <value = float {{0.5}}> ()
  pattern = Sub(image, half)
}}"""

CLASSIFY = f"""<ir_version: 8, opset_import: ["" : 18]>
classify (float[N,3,{SIDE},{SIDE}] pattern, float[N,2,{SIDE},{SIDE}] spectra) => (float[N,1] logit) {{
  places = Constant <value = int64[2] {{2, 3}}> ()
  first = Constant <value = int64[1] {{0}}> ()
  red = Gather <axis = 1> (pattern, first)
  amplitude = Gather <axis = 1> (spectra, first)
  both = Add(red, amplitude)
  mean = ReduceMean <keepdims = 0> (both, places)
  logit = Identity(mean)
}}"""


def mean_bundle(folder: Path, **changed: Any) -> Path:
    """Write an `lnp` bundle -> its folder: the pattern is the view less a half, the logit the mean of the
    pattern's red plus that of the grey amplitude."""
    plane = [SIDE, SIDE]
    shapes: dict[str, Any] = {
        "denoise": {"inputs": {"image": ["N", 3, *plane]}, "outputs": {"pattern": ["N", 3, *plane]}},
        "classify": {
            "inputs": {"pattern": ["N", 3, *plane], "spectra": ["N", 2, *plane]},
            "outputs": {"logit": ["N", 1]},
        },
    }
    texts = {"denoise": DENOISE, "classify": CLASSIFY}
    written = {
        name: (onnx.parser.parse_model(text).SerializeToString(), shapes[name])
        for name, text in texts.items()
    }
    view = {
        "resize": "none",
        "size": SIDE,
        "crop": "centre",
        "small": "wrap",
        "mean": [0] * 3,
        "std": [1] * 3,
    }
    return write_bundle(folder, "lnp", "means", view, written, **changed)


def spectra_oracle(
    pattern: NDArray[np.float32], parameters: Parameters
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Amplitude and phase by whole transforms in float64, and where the phase is sure of its sign."""
    whole = np.fft.fft2(pattern.astype(np.float64), norm=parameters.norm)
    modulus, angle = np.abs(whole), np.angle(whole)
    sure = np.abs(np.abs(angle) - np.pi) > 1e-3
    if parameters.amplitude == "log":
        modulus = np.log(modulus + parameters.epsilon)
    if parameters.amplitude == "power":
        modulus = (modulus + parameters.epsilon) ** parameters.exponent
    if parameters.grey is not None:
        weights = np.array(parameters.grey)[:, None, None]
        modulus, angle = ((weights * values).sum(axis=1, keepdims=True) for values in (modulus, angle))
        sure = sure.all(axis=1, keepdims=True)
    if parameters.centred:
        modulus, angle, sure = (np.fft.fftshift(values, (2, 3)) for values in (modulus, angle, sure))
    return modulus, angle, sure
