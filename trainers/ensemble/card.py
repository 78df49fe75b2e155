"""What an ensemble's bundle says of itself on its card."""

from collections.abc import Sequence

from assay.engine.bundle import Bundle
from assay.engine.detectors.ensemble import Parameters
from assay.trainers.data.samples import Sample
from assay.trainers.ensemble.layer import Compared
from assay.trainers.export.bundle import Calibrated
from assay.trainers.probe.card import counted


def text(
    bundle: Bundle, samples: Sequence[Sample], compared: Compared, done: Calibrated, stopped: str
) -> str:
    """The card, as Markdown. `stopped`: how often the first member is enough, a sentence; empty without."""
    manifest = bundle.manifest
    parameters, limits = Parameters.model_validate(manifest.parameters), manifest.thresholds
    rows = "\n".join(
        f"| {one.name} | {one.version} | {one.kind} | `{one.sha256[:16]}…` | {one.weight:.4f} |"
        for one in parameters.members
    )
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in compared.losses.items())
    error = (
        "not known, too few images" if done.choice.error != done.choice.error else f"{done.choice.error:.3f}"
    )
    stop = parameters.stop
    quick = (
        f"\nThe first member decides alone where its logit is at most {stop.below:.3f} or at least "
        f"{stop.above:.3f}. {stopped}\n"
        if stop
        else ""
    )
    return f"""# {manifest.name} {manifest.version}

{len(parameters.members)} detectors of one decoded image. The logit is {parameters.bias:.4f} plus each
member's times its weight; what each was trained on says its own card. Licence: {manifest.licence}.

| member | version | kind | SHA-256 of its manifest | weight |
|---|---|---|---|--:|
{rows}
{quick}
## The layer

Fitted, like calibration and thresholds, on {counted(samples)} that no member was to be trained on. Mean
cross-entropy on held-out {compared.folds}, the less the better: {losses or "not known, too few images"}.

## What its verdicts mean

`synthetic` is at probability {limits.synthetic:.4f} and above, `authentic` at {limits.authentic:.4f} and
below, `uncertain` between. Expected calibration error on held-out {done.choice.folds}: {error}.
How good it is on other images, `assay evaluate` says, and whether it is better than its best member.
"""
