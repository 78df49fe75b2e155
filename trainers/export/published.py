"""Checkpoints of the papers' published code, made into what Assay serves or trains on.

A file is read as tensors alone: one that needs code to be unpickled is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor

from assay.engine.bundle import Bundle, Manifest, sha256_of
from assay.engine.errors import SetupError
from assay.trainers.fit import checkpoint
from assay.trainers.fit.run import BEST
from assay.trainers.kinds.apn import bundle as apn
from assay.trainers.kinds.apn.network import APN
from assay.trainers.kinds.apn.run import Trunk
from assay.trainers.kinds.fusing import bundle as fusing
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.lnp.denoiser.network import Denoiser
from assay.trainers.kinds.lnp.denoiser.run import DenoiserRun
from assay.trainers.kinds.lnp.source import load_denoiser

Kind: TypeAlias = Literal["fusing", "apn", "denoiser"]
_APN = "frequency_branch.proposaler_1.x_proposaler."
_SPATIAL = "spital_branch.backbone."


def import_fusing(file: Path, out: Path, named: Mapping[str, Any], *, programs: bool = False) -> Bundle:
    """Writes Patch5Model's weights (PSM.pth, model_epoch_best.pth) as a bundle, not yet calibrated.

    named: `name`, `version` and `licence` of the manifest. Raises SetupError where the file holds another
    network.
    """
    state = checkpoint.load_state(file)
    model = Fusing("resnet50" if "resnet.layer1.0.conv3.weight" in state else "resnet18")
    model.load_published(file)
    return fusing.export(model, out, _named(fusing.manifest_template(), named, file), programs=programs)


def import_apn(file: Path, out: Path, named: Mapping[str, Any], *, programs: bool = False) -> Bundle:
    """Writes MainModel's weights (MainModel_epoch_N.pth) as a bundle; else as `import_fusing`.

    The number of proposals, the size of views and the spatial network follow from the tensors.
    """
    state = checkpoint.load_state(file)
    neck, head = state.get(f"{_APN}neck.0.weight"), state.get(f"{_APN}head_c.6.weight")
    if neck is None or head is None:
        raise SetupError(f"{file} holds no APN: there is no {_APN}neck.0.weight and head_c.6.weight in it")
    size, proposals = neck.shape[0], head.shape[0] // 2
    try:
        model = APN(proposals, _spatial(state), "resnet18", size=size)
    except ValueError as error:
        raise SetupError(f"{file} does not fit any APN: {error}") from None
    model.load_published(file)
    template = apn.manifest_template(proposals, size)
    return apn.export(model, out, _named(template, named, file), programs=programs)


def import_denoiser(file: Path, out: Path) -> DenoiserRun:
    """Makes of CycleISP's weights (sidd_rgb.pth) a run as of `assay train denoiser`, for `--denoiser`.

    Raises SetupError where the file holds another network.
    """
    denoiser = load_denoiser(file)
    network: dict[str, Any] = {"network": "student"}
    if isinstance(denoiser, Denoiser):
        groups, blocks = len(denoiser.body) - 2, len(denoiser.body[0].get_submodule("body")) - 1  # type: ignore[arg-type]
        network = {"network": "cycleisp", "rrg": groups, "dab": blocks}
    run = DenoiserRun(data=file.parent, weights=file.name, **network)
    run.write(out)
    checkpoint.save({"model": denoiser.state_dict()}, out / BEST)
    return run


def _spatial(state: Mapping[str, Tensor]) -> Trunk:
    """What the spatial branch is built on, by names that no other network has."""
    told: dict[str, Trunk] = {
        "patch_embed.proj.weight": "swin_t",
        "layer1.0.conv3.weight": "resnet50",
        "layer1.0.conv2.weight": "resnet18",
        "features.0.0.weight": "convnext_base",
    }
    return next((trunk for name, trunk in told.items() if _SPATIAL + name in state), "swin_t")


def _named(manifest: Manifest, named: Mapping[str, Any], file: Path) -> Manifest:
    source = {"published_weights": file.name, "sha256": sha256_of(file)}
    return manifest.model_copy(update={**named, "trained_on": source})
