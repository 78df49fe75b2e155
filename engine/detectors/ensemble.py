"""`ensemble`: several detectors of one decoded image, and a logistic layer on their logits.

Members are bundles of other kinds whose graphs lie in this bundle's folder: `GRAPH@MEMBER` is what MEMBER
calls GRAPH. The logit is `bias` plus each member's logit times its weight. With `stop` the first member, a
cheap one, is asked alone, and the others only of images on which it is not sure: its logit lies between
`below` and `above`. Elsewhere the logit is `stop.bias` plus the first one times `stop.weight`.

Scores: the logit of each member that was asked, by its name. Evidence: `members`, for each of these its
name, version, kind, logit and own evidence.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from assay.engine.bundle import SCHEMA, Manifest, first_fault
from assay.engine.detectors.detector import Choice, Detection, Graph, Image, Stopwatch
from assay.engine.detectors.kind import Kind
from assay.engine.record import Record
from assay.kernels import ViewRule

ENSEMBLE = "ensemble"
Named = TypeVar("Named")


class Member(Record):
    """A bundle as it came: what it is called, the SHA-256 of its manifest, how it is served, its weight."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    kind: str
    view: ViewRule
    min_side: int = Field(gt=0)
    parameters: dict[str, Any] = Field(default_factory=dict)
    weight: FiniteFloat


class Stop(Record):
    """Where the first member is sure: its logit is at most `below` or at least `above`."""

    below: FiniteFloat
    above: FiniteFloat
    weight: FiniteFloat
    bias: FiniteFloat

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.below >= self.above:
            raise ValueError("below must be less than above")
        return self

    def sure(self, logit: float) -> bool:
        return not self.below < logit < self.above


class Parameters(Record):
    """The members in the order in which they are asked, and the layer on their logits."""

    members: Annotated[tuple[Member, ...], Field(min_length=2)]
    bias: FiniteFloat = 0.0
    stop: Stop | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [member.name for member in self.members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two members are called {', '.join(twice)}")
        if ENSEMBLE in names:
            raise ValueError(f"no member can be called {ENSEMBLE}, as the ensemble's own score is")
        return self


def graph_name(graph: str, member: str) -> str:
    """What the ensemble calls the graph that `member` calls `graph`."""
    return f"{graph}@{member}"


def of_member(graphs: Mapping[str, Named], member: str) -> dict[str, Named]:
    """Those of the ensemble's graphs that are a member's, by its own names."""
    suffix = graph_name("", member)
    return {name.removesuffix(suffix): one for name, one in graphs.items() if name.endswith(suffix)}


def member_manifest(manifest: Manifest, member: Member) -> Manifest:
    """The manifest of a member, with its graphs by their own names. It has no calibration of its own: only
    the ensemble gives verdicts."""
    return Manifest(
        schema_=SCHEMA,
        kind=member.kind,
        name=member.name,
        version=member.version,
        licence=manifest.licence,
        view=member.view,
        min_side=member.min_side,
        max_batch=manifest.max_batch,
        parameters=member.parameters,
        graphs=of_member(manifest.graphs, member.name),
        thresholds=manifest.thresholds,
    )


class Ensemble(Kind):
    """The kind, whose members are of the `kinds` that it is made with."""

    _kinds: Mapping[str, Kind]

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        super().__init__(self._detect, frozenset(), Parameters, self._bytes, check=self._check)
        object.__setattr__(self, "_kinds", kinds)

    def choices(self, manifest: Manifest) -> Mapping[str, Choice]:
        return {
            graph_name(name, own.name): Choice(graph_name(choice.graph, own.name), choice.outputs)
            for own in self._members(manifest)
            for name, choice in self._kinds[own.kind].choices(own).items()
        }

    def _detect(
        self,
        images: Sequence[Image],
        graphs: Mapping[str, Graph],
        manifest: Manifest,
        parameters: Parameters,
        watch: Stopwatch,
    ) -> list[Detection]:
        def ask(own: Manifest, some: Sequence[Image]) -> list[Detection]:
            with watch.stage(own.name):
                detector = self._kinds[own.kind].detector(own)
                return detector(some, of_member(graphs, own.name), Stopwatch())

        first, *others = self._members(manifest)
        found = [[one] for one in ask(first, images)]
        stop = parameters.stop
        rest = [at for at, (one,) in enumerate(found) if stop is None or not stop.sure(one.logit)]
        for own in others if rest else ():
            for at, one in zip(rest, ask(own, [images[at] for at in rest]), strict=True):
                found[at].append(one)
        return [_combined(one, parameters) for one in found]

    def _members(self, manifest: Manifest) -> list[Manifest]:
        """The manifests of the members. Raises ValueError where the kind of one is none that may be asked."""
        members = Parameters.model_validate(manifest.parameters).members
        for member in members:
            if member.kind == ENSEMBLE or member.kind not in self._kinds:
                raise ValueError(f"member {member.name} is of kind {member.kind!r}, which no ensemble asks")
        return [member_manifest(manifest, member) for member in members]

    def _bytes(self, manifest: Manifest) -> int:
        """Members are asked one after the other: what the largest one needs."""
        return max(self._kinds[own.kind].intermediate_bytes(own) for own in self._members(manifest))

    def _check(self, manifest: Manifest) -> None:
        members = self._members(manifest)
        if manifest.view != members[0].view:
            raise ValueError(f"view must be that of the first member, {members[0].name}")
        known = {graph_name(name, own.name) for own in members for name in own.graphs}
        if unused := sorted(manifest.graphs.keys() - known):
            raise ValueError(f"graph {', '.join(unused)} is of no member")
        for own in members:
            kind = self._kinds[own.kind]
            if own.min_side > manifest.min_side:
                raise ValueError(
                    f"member {own.name} takes images from {own.min_side} pixels, so min_side cannot be "
                    f"{manifest.min_side}"
                )
            if missing := kind.graphs - own.graphs.keys():
                whole = ", ".join(graph_name(name, own.name) for name in sorted(missing))
                raise ValueError(f"member {own.name} of kind {own.kind!r} needs graph {whole}")
            try:
                kind.parameters.model_validate(own.parameters)
                kind.check(own)
            except ValidationError as error:
                where, said = first_fault(error)
                raise ValueError(f"member {own.name}, parameters.{where}: {said}") from None
            except ValueError as error:
                raise ValueError(f"member {own.name}: {error}") from None


def _combined(found: Sequence[Detection], parameters: Parameters) -> Detection:
    """One image's detection, of those of the members that were asked of it: all, or the first alone."""
    logits = [one.logit for one in found]
    members = parameters.members[: len(found)]
    stop = parameters.stop
    if stop is not None and len(found) == 1:
        logit = stop.bias + stop.weight * logits[0]
    else:
        weights = [member.weight for member in members]
        logit = parameters.bias + float(np.dot(weights, logits))
    evidence = [
        {
            "name": member.name,
            "version": member.version,
            "kind": member.kind,
            "logit": round(one.logit, 4),
            **({"evidence": one.evidence} if one.evidence else {}),
        }
        for member, one in zip(members, found, strict=True)
    ]
    return Detection(
        logit,
        {"members": evidence},
        # How many were asked is a choice, too.
        (len(found), *(index for one in found for index in one.chosen)),
        scores={member.name: one.logit for member, one in zip(members, found, strict=True)},
    )
