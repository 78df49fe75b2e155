"""`lnp`: the face, the noise pattern that the denoiser found, and its spectra; of several crops those of the
one that looks most synthetic."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from assay.engine.detectors.lnp.detector import Parameters, ServedParameters
from assay.engine.detectors.lnp.face import Outside, chosen_mask
from assay.engine.explain.plain import with_crops
from assay.engine.explain.seen import Floats, Trace, enlarged, stretched
from assay.engine.explain.sheet import Panel
from assay.engine.report.picture import turned

SIDE, PHOTO = 256, 500
FACE = (255, 176, 0)
FILLS: dict[Outside, str] = {"black": "black", "grey": "grey", "mean": "of the face's mean colour"}


def panels(seen: Trace) -> list[Panel]:
    parameters = ServedParameters.model_validate(seen.manifest.parameters)
    (views,), (pattern, spectra) = seen.calls["denoise"].inputs, seen.calls["classify"].inputs
    half = parameters.planes // 2
    logits = seen.detection.evidence.get("crop_logits", [seen.detection.logit])
    shown = int(np.argmax(logits))
    which = [f"crop {shown + 1}, logit {logits[shown]:+.3f}"] if len(logits) > 1 else []
    pattern, spectra = pattern[shown], spectra[shown]
    rms = " ".join(f"{value:.4f}" for value in np.sqrt((pattern**2).mean(axis=(1, 2))))
    return [
        _photo(seen, parameters, logits),
        Panel("The view that is denoised", enlarged(seen.views(views)[shown], SIDE), which),
        Panel(
            "Its noise pattern",
            enlarged(turned(stretched(pattern), seen.orientation), SIDE),
            [f"contrast stretched; root mean square {rms} (red, green, blue)"],
            line=True,
        ),
        Panel(
            "Amplitude of its spectrum",
            enlarged(spectrum_image(spectra[:half], parameters), SIDE),
            ["of the view as stored; frequency 0 in the middle, contrast stretched"],
        ),
        Panel(
            "Phase of its spectrum", enlarged(spectrum_image(spectra[half:], parameters, phase=True), SIDE)
        ),
    ]


def _photo(seen: Trace, parameters: ServedParameters, logits: Sequence[float]) -> Panel:
    """The photograph with its crops; where the face was cut out, all else is dark and a box is around it."""
    if parameters.face is None:
        return Panel("Where the detector looked", with_crops(seen, logits, PHOTO))
    masks, overlap = (output[0] for output in seen.calls["sam_decode"].outputs)
    side = seen.calls["sam_encode"].inputs[0].shape[-1]
    mask = chosen_mask(masks, overlap, seen.pixels.shape[:2], side, parameters.face.choice)
    dark = replace(seen, pixels=np.where(mask[..., None], seen.pixels, seen.pixels // 4))
    shown, found = with_crops(dark, logits, PHOTO), seen.detection.evidence["face"]
    if found["box"] is not None:
        ImageDraw.Draw(shown).rectangle(seen.photo(PHOTO).box(*found["box"]), outline=FACE, width=3)
    fill = FILLS[parameters.face.outside]
    share = f"{100 * found['share']:.1f} % of the image; the rest was {fill} to the detector"
    notes = [share if found["box"] else "None was found.", "numbered: where the detector looked"]
    return Panel("The face that was cut out", shown, notes)


def spectrum_image(planes: Floats, parameters: Parameters, phase: bool = False) -> Image.Image:
    """Spectral planes (1 or 3, S, S) as the classifier reads them -> a picture, frequency 0 in the middle."""
    values = planes if parameters.centred else np.fft.fftshift(planes, axes=(1, 2))
    if not phase and parameters.amplitude != "log":
        values = np.log(values + 1e-12)  # else all but the lowest frequencies is black
    return stretched(values[0] if len(values) == 1 else values)
