"""How purification networks are served, and writing them as a bundle."""

import math
from pathlib import Path

from assay.engine.bundle import SCHEMA, Bundle, GraphSpec, Manifest, Thresholds
from assay.engine.detectors import Graph
from assay.kernels import ViewRule
from assay.trainers.evaluate.score import torch_graph
from assay.trainers.export.bundle import export_bundle
from assay.trainers.kinds.apn.network import APN

MAX_BATCH = 32
"""Images a batch: with 15 proposals their purified views take 0.29 GB."""


def view_rule(size: int) -> ViewRule:
    """Original pixels in 0..1, blue first, small images tiled: as the published code feeds its network."""
    return ViewRule(
        resize="none",
        size=size,
        crop="centre",
        small="wrap",
        channels="bgr",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def manifest_template(proposals: int, size: int, min_side: int = 32) -> Manifest:
    """A manifest that says how such a network is served, before it has a name, files and a calibration."""
    half, bands = ("N", 3, size, size // 2 + 1), ("N", 3, proposals, 4)
    return Manifest(
        schema_=SCHEMA,
        kind="apn",
        name="manifest_template",
        version="0",
        licence="",
        view=view_rule(size),
        min_side=min_side,
        max_batch=MAX_BATCH,
        graphs={
            "propose": GraphSpec(
                file="propose.onnx",
                sha256="",
                inputs={"amplitude": half, "phase": half},
                outputs={"amplitude_bands": bands, "phase_bands": bands},
            ),
            "classify": GraphSpec(
                file="classify.onnx",
                sha256="",
                inputs={"image": ("N", 3, size, size), "purified": ("N", proposals, 3, size, size)},
                outputs={"logit": ("N", 1), "confidence": ("N", proposals)},
            ),
        },
        thresholds=Thresholds(synthetic=0.5, authentic=math.nextafter(0.5, 0)),
    )


def export(model: APN, out: Path, manifest: Manifest, *, programs: bool = False) -> Bundle:
    """Writes `model` to folder `out` as the bundle that `manifest` names, not yet calibrated."""
    return export_bundle(model.graphs(), manifest, out, programs=programs)


def torch_graphs(model: APN) -> dict[str, Graph]:
    """The parts of `model`, in eval mode, as the graphs that the detector asks for."""
    return {name: torch_graph(module.eval()) for name, module in model.graphs().items()}
