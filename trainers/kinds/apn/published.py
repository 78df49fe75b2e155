"""The published code's names of weights, and ours.

A published checkpoint of Swin-T and ResNet-18 holds 788 tensors. Two kinds of them have no place here: the
`head_p` of each proposer, whose output nothing reads, and Swin's `attn_mask`, which follows from the size.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from assay.trainers.fit.checkpoint import not_fitting
from assay.trainers.kinds.apn.run import Trunk
from assay.trainers.kinds.apn.trunk import classifier

UNUSED = re.compile(r"\.head_p\.[0246]\.(weight|bias)$|\.attn_mask$")
# Parts whose inner names depend on how the published modules nest them: what counts is their order.
ORDERED = re.compile(r"(.*\.conv_body\.\d\.|frequency_branch\.(?:semantic|generative)_head\.0\.)")

_NAMES = (
    (r"^spatial\.basis\.relevant$", "spital_branch.space_base.base.generative_base"),
    (r"^spatial\.basis\.irrelevant$", "spital_branch.space_base.base.semantic_base"),
    (r"^frequency\.amplitude\.", "frequency_branch.proposaler_1."),
    (r"^frequency\.phase\.", "frequency_branch.proposaler_2."),
    (r"(proposaler_\d)\.rows\.", r"\1.x_proposaler."),
    (r"(proposaler_\d)\.columns\.", r"\1.y_proposaler."),
    (r"_proposaler\.blocks\.", "_proposaler.freq_conv.conv_body."),
    (r"_proposaler\.pool\.", "_proposaler.freq_conv.last_conv."),
    (r"_proposaler\.head\.", "_proposaler.head_c."),
    (r"^frequency\.relevant\.trunk\.", "frequency_branch.generative_head.0."),
    (r"^frequency\.relevant\.head\.", "frequency_branch.generative_head.2."),
    (r"^frequency\.irrelevant\.trunk\.", "frequency_branch.semantic_head.0."),
    (r"^frequency\.irrelevant\.head\.", "frequency_branch.semantic_head.2."),
    (r"^frequency\.confidence\.attention\.", "frequency_branch.p_pred.atten."),
    (r"^frequency\.confidence\.head\.", "frequency_branch.p_pred.head."),
    (r"^classifier\.", "classificator_generative."),
)
_SWIN = (  # torchvision numbers stages and the mergings between them in one row
    (r"backbone\.features\.0\.0\.", "backbone.patch_embed.proj."),
    (r"backbone\.features\.0\.2\.", "backbone.patch_embed.norm."),
    *((rf"backbone\.features\.{2 * i + 1}\.", f"backbone.layers.{i}.blocks.") for i in range(4)),
    *((rf"backbone\.features\.{2 * i + 2}\.", f"backbone.layers.{i}.downsample.") for i in range(3)),
    (r"(blocks\.\d\.mlp)\.0\.", r"\1.fc1."),
    (r"(blocks\.\d\.mlp)\.3\.", r"\1.fc2."),
)


def published_name(name: str, spatial: Trunk) -> str:
    """The published code's name of our tensor `name`, for a spatial branch built on `spatial`."""
    head = (r"^spatial\.head\.", f"spital_branch.backbone.{classifier(spatial)}.")
    trunk = (r"^spatial\.trunk\.", "spital_branch.backbone.")
    for pattern, replacement in (*_NAMES, head, trunk, *(_SWIN if spatial == "swin_t" else ())):
        name = re.sub(pattern, replacement, name)
    return name


def translate(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], spatial: Trunk, source: Path
) -> dict[str, Tensor]:
    """The published weights `state`, read from `source`, under the names and in the shapes of `own`.

    Raises SetupError listing what is missing, extra or of another shape, under the published names.
    """
    names = {published_name(name, spatial): name for name in own}
    state = _canonical({name: value for name, value in state.items() if not UNUSED.search(name)}, list(names))
    missing = [name for name in names if name not in state]
    extra = [name for name in state if name not in names]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[ours].shape)}"
        for name, ours in names.items()
        if name in state and not _fits(name, state[name], own[ours])
    ]
    if fault := not_fitting(source, missing, extra, shapes):
        raise fault
    return {ours: state[name].reshape(own[ours].shape) for name, ours in names.items()}


def _fits(name: str, theirs: Tensor, ours: Tensor) -> bool:
    if name.endswith((".prior", ".relative_position_index")):  # the same numbers in another shape
        return theirs.numel() == ours.numel()
    return theirs.shape == ours.shape


def _canonical(state: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """`state` with each ordered part's tensors renamed as in `names`, where their order identifies them."""
    theirs, ours = _parts(list(state)), _parts(names)
    renamed = {
        name: canonical
        for part in theirs.keys() & ours.keys()
        if [_leaf(name) for name in theirs[part]] == [_leaf(name) for name in ours[part]]
        for name, canonical in zip(theirs[part], ours[part], strict=True)
    }
    return {renamed.get(name, name): value for name, value in state.items()}


def _parts(names: list[str]) -> dict[str, list[str]]:
    """The names within each ordered part, by its prefix."""
    parts: dict[str, list[str]] = {}
    for name in names:
        if found := ORDERED.match(name):
            parts.setdefault(found[1], []).append(name)
    return parts


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
