"""How the noise-pattern detector is served, and writing it as a bundle."""

import math
from pathlib import Path

from torch import nn

from assay.engine.bundle import SCHEMA, Bundle, GraphSpec, Manifest, Thresholds
from assay.engine.detectors import Graph
from assay.engine.detectors.lnp.detector import Parameters
from assay.kernels import ViewRule
from assay.trainers.evaluate.score import torch_graph
from assay.trainers.export.bundle import export_bundle
from assay.trainers.kinds import Crop
from assay.trainers.kinds.lnp.denoiser.network import Pattern
from assay.trainers.kinds.lnp.face_cutter import FaceCutter
from assay.trainers.kinds.lnp.network import LNP
from assay.trainers.kinds.lnp.run import Resize
from assay.trainers.kinds.lnp.sam import with_faces

SIZE = 256
"""Side of a view in pixels: that of the face paper's images."""


def view_rule(size: int, resize: Resize = "none", crop: Crop = "centre") -> ViewRule:
    """Pixels in 0..1: original ones, as resizing wipes out noise, or, as in the face paper, resized ones."""
    return ViewRule(
        resize=resize, size=size, crop=crop, small="wrap", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )


def manifest_template(
    size: int = SIZE,
    parameters: Parameters | None = None,
    min_side: int = 64,
    resize: Resize = "none",
    crop: Crop = "centre",
) -> Manifest:
    """A manifest that says how such a network is served, before it has a name, files and a calibration."""
    parameters = parameters or Parameters()
    pattern = ("N", 3, size, size)
    return Manifest(
        schema_=SCHEMA,
        kind="lnp",
        name="manifest_template",
        version="0",
        licence="",
        view=view_rule(size, resize, crop),
        min_side=min_side,
        parameters=parameters.model_dump(),
        graphs={
            "denoise": GraphSpec(
                file="denoise.onnx", sha256="", inputs={"image": pattern}, outputs={"pattern": pattern}
            ),
            "classify": GraphSpec(
                file="classify.onnx",
                sha256="",
                inputs={"pattern": pattern, "spectra": ("N", parameters.planes, size, size)},
                outputs={"logit": ("N", 1)},
            ),
        },
        thresholds=Thresholds(synthetic=0.5, authentic=math.nextafter(0.5, 0)),
    )


def export(
    denoiser: Pattern,
    classifier: LNP,
    out: Path,
    manifest: Manifest,
    *,
    cutter: FaceCutter | None = None,
    programs: bool = False,
) -> Bundle:
    """Writes both networks to folder `out` as the bundle that `manifest` names, not yet calibrated.

    With a model in `cutter` the bundle cuts out faces by itself. Raises SetupError where it cannot be read.
    """
    modules: dict[str, nn.Module] = {"denoise": denoiser, "classify": classifier}
    if cutter is not None:
        manifest, sam = with_faces(manifest, cutter)
        modules |= sam
    return export_bundle(modules, manifest, out, programs=programs)


def torch_graphs(denoiser: Pattern, classifier: LNP) -> dict[str, Graph]:
    """Both networks, in eval mode, as the graphs that the detector asks for."""
    return {"denoise": torch_graph(denoiser.eval()), "classify": torch_graph(classifier.eval())}
