"""A noise-pattern detector for tests: random weights, but logits that differ between images."""

import numpy as np
import torch
from support.fusing import SIZES, Pixels, resized
from torch import Tensor, nn

from assay.engine.detectors.lnp.detector import Parameters, spectra
from assay.kernels import view
from assay.trainers import dlpack as bridge
from assay.trainers.kinds.lnp.bundle import view_rule
from assay.trainers.kinds.lnp.denoiser.network import Pattern, Student
from assay.trainers.kinds.lnp.network import LNP


def inputs(images: list[Pixels], denoiser: nn.Module, size: int) -> tuple[Tensor, Tensor]:
    """The patterns and spectra of images, as the classifier takes them."""
    with torch.inference_mode():
        pattern = denoiser(torch.from_numpy(view(images, view_rule(size))))
    found: Tensor = bridge.call(spectra, pattern, Parameters())
    return pattern, found


def lively(size: int) -> tuple[Pattern, LNP]:
    """Both networks in eval mode, batch statistics fitted to photographs and logits spread over -3..3."""
    torch.manual_seed(7)
    denoiser, classifier = Pattern(Student()).eval(), LNP("mobilenet_v2")
    assert classifier.attention is not None
    nn.init.constant_(classifier.attention.gamma, 0.5)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # keep the mean over the batches seen
    images = [resized(*shape, seed) for seed, shape in enumerate(SIZES)]
    with torch.inference_mode():
        given = inputs(images, denoiser, size)
        classifier(*given)
        classifier.eval()
        logits = classifier(*given)
        head = classifier.network.get_submodule("classifier.1")
        scale = 2 / float(logits.std())
        head.get_parameter("weight").mul_(scale)
        head.get_parameter("bias").sub_(float(np.mean(logits.numpy())) * scale)
    return denoiser, classifier
