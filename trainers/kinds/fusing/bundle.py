"""How fusing networks are served, and writing one as a bundle."""

import math
from pathlib import Path

from assay.engine.bundle import SCHEMA, Bundle, GraphSpec, Manifest, Thresholds
from assay.engine.detectors import KINDS, Graph
from assay.engine.detectors.fusing import Parameters
from assay.kernels import ViewRule
from assay.trainers.evaluate.score import torch_graph
from assay.trainers.export.bundle import export_bundle
from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.fusing.network import EMBEDDING, Fusing

SIZE, MAP = 224, 7
"""Side of views and patches in pixels, and of the activation map in cells."""


def manifest_template(min_side: int = 32) -> Manifest:
    """A manifest that says how such a network is served, before it has a name, files and a calibration."""
    selection = Parameters()
    tokens = selection.patches + 1
    return Manifest(
        schema_=SCHEMA,
        kind="fusing",
        name="manifest_template",
        version="0",
        licence="",
        view=ViewRule(resize="short_side", size=SIZE, crop="centre", mean=MEAN, std=STD),
        min_side=min_side,
        parameters=selection.model_dump(),
        graphs={
            "backbone": GraphSpec(
                file="backbone.onnx",
                sha256="",
                inputs={"image": ("N", 3, SIZE, SIZE)},
                outputs={"activation": ("N", MAP, MAP), "embedding": ("N", EMBEDDING)},
            ),
            "fuse": GraphSpec(
                file="fuse.onnx",
                sha256="",
                inputs={"tokens": ("N", tokens, EMBEDDING)},
                outputs={"logit": ("N", 1), "attention": ("N", selection.patches)},
            ),
        },
        thresholds=Thresholds(synthetic=0.5, authentic=math.nextafter(0.5, 0)),
    )


def export(model: Fusing, out: Path, manifest: Manifest, *, programs: bool = False) -> Bundle:
    """Writes `model` to folder `out` as the bundle that `manifest` names, not yet calibrated."""
    return export_bundle(model.graphs(), manifest, out, programs=programs)


def torch_graphs(model: Fusing) -> dict[str, Graph]:
    """The parts of `model`, in eval mode, as the graphs that the detector asks for."""
    parts = {name: torch_graph(module.eval()) for name, module in model.graphs().items()}
    return parts | {name: parts[choice.graph] for name, choice in KINDS["fusing"].choosing.items()}
