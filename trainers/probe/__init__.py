"""A linear probe: somebody's own backbone as ONNX, one logistic layer on its embedding, a bundle."""

from assay.trainers.probe.backbone import Backbone
from assay.trainers.probe.fit import Probe, fit_probe

__all__ = ["Backbone", "Probe", "fit_probe"]
