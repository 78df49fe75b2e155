"""Bundles of networks as large as the papers', with random weights, which take the time of trained ones."""

from pathlib import Path
from typing import Literal, get_args

from assay.engine.bundle import Bundle
from assay.trainers.kinds.apn import bundle as apn
from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.fusing import bundle as fusing
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.lnp import bundle as lnp
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Pattern
from assay.trainers.kinds.lnp.network import LNP

Paper = Literal["fusing-resnet50", "apn-swin", "lnp-resnet50"]
PAPERS: tuple[Paper, ...] = get_args(Paper)


def paper_bundle(name: Paper, folder: Path, *, programs: bool = False) -> Bundle:
    """Writes one to `folder`, with `programs` as .pt2, too.

    fusing: ResNet-50. apn: Swin-T and ResNet-18, K = 15. lnp: the large denoiser, and ResNet-50.
    """
    named = {"name": name, "version": "0", "licence": "none"}
    if name == "fusing-resnet50":
        draft = fusing.manifest_template().model_copy(update=named)
        return fusing.export(Fusing("resnet50"), folder, draft, programs=programs)
    if name == "apn-swin":
        return apn.export(
            APN(), folder, apn.manifest_template(15, 224).model_copy(update=named), programs=programs
        )
    draft = lnp.manifest_template().model_copy(update=named)
    return lnp.export(Pattern(Denoiser()), LNP("resnet50"), folder, draft, programs=programs)
