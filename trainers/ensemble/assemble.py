"""The bundle of several bundles: copies of their graphs, and a manifest that names each as it came."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import SCHEMA, Bundle, GraphSpec, Manifest, Thresholds, sha256_of
from assay.engine.detectors.ensemble import ENSEMBLE, Member, Parameters, Stop, graph_name
from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.ensemble.layer import Layer
from assay.trainers.evaluate.score import Scored, score
from assay.trainers.export.bundle import graphs_of, write_manifest


def score_members(
    members: Sequence[Bundle], samples: Sequence[Sample], advance: Callable[[int], None] = lambda count: None
) -> tuple[Scored, NDArray[np.float64]]:
    """What all members can be asked of: the samples as the first one scored them, and all logits (n, M)."""
    least = max(member.manifest.min_side for member in members)
    scored = [
        score(samples, member.manifest.model_copy(update={"min_side": least}), graphs_of(member), advance)
        for member in members
    ]
    return scored[0], np.stack([one.logits for one in scored], axis=1)


def check_members(members: Sequence[Bundle]) -> None:
    """Raises SetupError where bundles cannot be members of one ensemble."""
    for member in members:
        if member.kind == ENSEMBLE:
            raise SetupError(f"{member.path} is an ensemble itself: name its members")
    if len(members) < 2 or len({member.name for member in members}) < len(members):
        raise SetupError("an ensemble needs two members or more, each of another name")


def assemble(
    members: Sequence[Bundle], layer: Layer, folder: Path, *, name: str, version: str, **named: object
) -> Bundle:
    """Writes the bundle to `folder`, not yet calibrated; `named` are further fields of its manifest.

    Graphs are copied and run in fp32, the only precision that each has for certain. Raises SetupError where
    members cannot be in one bundle.
    """
    check_members(members)
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {}
    for member in members:
        for graph, spec in member.manifest.graphs.items():
            whole = graph_name(graph, member.name)
            shutil.copyfile(member.path / spec.file, folder / f"{whole}.onnx")
            graphs[whole] = GraphSpec(
                file=f"{whole}.onnx", sha256=spec.sha256, inputs=spec.inputs, outputs=spec.outputs
            )
    parameters = Parameters(
        members=tuple(map(_member, members, layer.weights)),
        bias=layer.bias,
    )
    manifest = Manifest(
        schema_=SCHEMA,
        kind=ENSEMBLE,
        name=name,
        version=version,
        view=members[0].manifest.view,
        min_side=max(member.manifest.min_side for member in members),
        max_batch=min(member.manifest.max_batch for member in members),
        parameters=parameters.model_dump(mode="json"),
        graphs=graphs,
        thresholds=Thresholds(synthetic=0.5, authentic=float(np.nextafter(0.5, 0))),
        **named,
    )
    return write_manifest(manifest, folder)


def with_stop(bundle: Bundle, stop: Stop) -> Bundle:
    """The ensemble, written again, whose first member decides alone where `stop` says so."""
    parameters = Parameters.model_validate(bundle.manifest.parameters).model_copy(update={"stop": stop})
    changed = {"parameters": parameters.model_dump(mode="json")}
    return write_manifest(bundle.manifest.model_copy(update=changed), bundle.path)


def _member(bundle: Bundle, weight: float) -> Member:
    manifest = bundle.manifest
    return Member(
        name=manifest.name,
        version=manifest.version,
        sha256=sha256_of(bundle.path / "manifest.json"),
        kind=manifest.kind,
        view=manifest.view,
        min_side=manifest.min_side,
        parameters=manifest.parameters,
        weight=weight,
    )
