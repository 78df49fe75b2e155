"""The peer of the noise-pattern benchmark gives the engine's answers, so both do the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import real_photos
from support.fusing import resized
from torch import nn

from assay.bench.published import lnp as published_lnp
from assay.engine.detectors import KINDS, Stopwatch
from assay.kernels import view
from assay.trainers.data.read import read_pixels
from assay.trainers.kinds.lnp.bundle import manifest_template, torch_graphs, view_rule
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Pattern
from assay.trainers.kinds.lnp.network import LNP
from assay.trainers.kinds.lnp.run import SCALINGS

SIZE = 64


@torch.inference_mode()
def fitted(denoiser: Denoiser, files: list[Path]) -> LNP:
    """A classifier whose logits of `files` differ: its batch statistics are those of their patterns."""
    classifier = LNP(attended="none")
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # keep the mean over the batches seen
    views = torch.from_numpy(view([read_pixels(file) for file in files], view_rule(SIZE)))
    tail = denoiser.tail.get_submodule("0").get_parameter("bias")
    tail += denoiser(views).mean(dim=(0, 2, 3))  # so that a half of each channel is left when stored
    patterns = Pattern(denoiser, "published")(views)
    classifier(patterns, torch.cat([published_lnp.spectra(pattern) for pattern in patterns.split(1)]))
    nn.init.normal_(classifier.eval().network.get_submodule("classifier.1").get_parameter("weight"))
    return classifier


def test_the_procedure_is_the_engines(tmp_path: Path) -> None:
    torch.manual_seed(3)
    file = tmp_path / "large.png"
    Image.fromarray(resized(90, 150)).save(file)
    files = [*real_photos.few(3), file]
    denoiser = Denoiser(1, 1).eval()
    classifier = fitted(denoiser, files)
    watch = Stopwatch()
    found = [published_lnp.score(denoiser, classifier, SIZE, file, watch) for file in files]
    graphs = torch_graphs(Pattern(denoiser, "published"), classifier)
    images = [read_pixels(file) for file in files]
    wanted = KINDS["lnp"].detector(manifest_template(SIZE, SCALINGS["published"]))(
        images, graphs, Stopwatch()
    )
    assert found == pytest.approx([one.logit for one in wanted], abs=0.01 * np.ptp(found))
    assert np.ptp(found) > 0.1
    assert set(watch.seconds) == {"decode", "view", "denoise", "spectra", "classify"}


def test_a_stored_pattern_has_wrapped() -> None:
    pattern = torch.tensor([-0.5, 0, 1, 2, 254, 255, 300]).view(1, 1, 1, 7) / 255
    shown = published_lnp.read(published_lnp.stored(pattern * torch.tensor([1.0, 1, 0]).view(1, 3, 1, 1)))
    mean, deviation = (
        torch.tensor(one).view(1, 3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    levels = (255 * (shown * deviation + mean)).round()
    assert levels[0, :, 0].tolist() == [[0] * 7, *[[0, 0, 255, 254, 2, 1, 1]] * 2]  # red and blue exchanged
