"""`ensemble`: the panels of each member that was asked, one member below the other."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from assay.engine.detectors import Detection
from assay.engine.detectors.ensemble import Parameters, member_manifest, of_member
from assay.engine.explain.seen import Trace
from assay.engine.explain.sheet import Panel

Draw = Callable[[Trace], list[Panel]]


def drawing(kinds: Mapping[str, Draw]) -> Draw:
    """How an ensemble is drawn whose members are drawn by `kinds`."""

    def panels(seen: Trace) -> list[Panel]:
        members = Parameters.model_validate(seen.manifest.parameters).members
        found = []
        for member, asked in zip(members, seen.detection.evidence["members"], strict=False):
            detection = Detection(asked["logit"], asked.get("evidence", {}))
            own = replace(
                seen,
                manifest=member_manifest(seen.manifest, member),
                detection=detection,
                calls=of_member(seen.calls, member.name),
            )
            first, *others = kinds[member.kind](own)
            weighed = f"logit {asked['logit']:+.3f}, weight {member.weight:.3f}"
            title = f"{member.name} {member.version}: {first.title}"
            found += [
                replace(first, title=title, notes=[weighed, *first.notes], line=True),
                *others,
            ]
        return found

    return panels
