"""Noise patterns and spectra of several faces as a grid (figure 4 of the face paper)."""

from collections.abc import Mapping, Sequence

import numpy as np

from assay.engine.bundle import Bundle
from assay.engine.detectors import Stopwatch
from assay.engine.detectors.detector import tapped
from assay.engine.detectors.lnp.detector import ServedParameters
from assay.engine.explain.lnp import spectrum_image
from assay.engine.explain.seen import Call, Trace, stretched
from assay.trainers.data.augment import Pixels
from assay.trainers.evaluate.means import Means, ready
from assay.trainers.study.page import Column

TITLES = ("view", "noise pattern", "amplitude", "phase")


def columns(bundle: Bundle, faces: Mapping[str, Pixels], means: Means | None = None) -> list[list[Column]]:
    """A row for each face, by name: what is denoised, its noise pattern, and the pattern's spectra, contrast
    stretched. Of several crops they are those of the one that looks most synthetic."""
    made = ready(bundle, means or Means())
    parameters = ServedParameters.model_validate(bundle.manifest.parameters)
    half = parameters.planes // 2
    rows: list[list[Column]] = []
    for name, pixels in faces.items():
        calls: dict[str, Call] = {}

        def keep(graph: str, *call: Sequence[np.ndarray], calls: dict[str, Call] = calls) -> None:
            calls[graph] = Call(*call)  # type: ignore[arg-type]

        graphs = tapped(made.graphs, made.graphs, keep)
        [found] = made.detect([pixels], graphs, Stopwatch())
        shown = int(np.argmax(found.evidence.get("crop_logits", [found.logit])))
        (views,), (patterns, spectra) = calls["denoise"].inputs, calls["classify"].inputs
        view = Trace(pixels, 1, bundle.manifest, found, calls).views(views)[shown]
        pictures = (
            view,
            stretched(patterns[shown]),
            spectrum_image(spectra[shown, :half], parameters),
            spectrum_image(spectra[shown, half:], parameters, phase=True),
        )
        words = (name, *TITLES[1:])
        rows.append(
            [Column((one.convert("RGB"),), (word,)) for one, word in zip(pictures, words, strict=True)]
        )
    return rows
