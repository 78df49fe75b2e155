"""The detectors by kind. A new kind is one file here and one entry in `KINDS`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from assay.engine.bundle import Bundle, GraphSpec, Manifest, first_fault
from assay.engine.detectors import apn, fusing, plain
from assay.engine.detectors.detector import Choice, Detection, Detector, Graph, Image, Stopwatch
from assay.engine.detectors.ensemble import ENSEMBLE, Ensemble
from assay.engine.detectors.kind import Kind
from assay.engine.detectors.lnp import detector as lnp
from assay.engine.errors import BundleError
from assay.kernels.measure import LEAST_SIDE, MEASURE_BYTES

__all__ = [
    "KINDS",
    "Choice",
    "Detection",
    "Detector",
    "Graph",
    "Image",
    "Kind",
    "Stopwatch",
    "detector_of",
    "intermediate_bytes",
    "make_graphs",
]


Made = TypeVar("Made")


KINDS: dict[str, Kind] = {
    "plain": Kind(
        plain.detect,
        frozenset({"classify"}),
        plain.Parameters,
        plain.intermediate_bytes,
        check=plain.check,
        distance="classify",
    ),
    "fusing": Kind(
        fusing.detect,
        frozenset({"backbone", "fuse"}),
        fusing.Parameters,
        fusing.intermediate_bytes,
        {"backbone_view": Choice("backbone", ("activation",))},
        fusing.check,
    ),
    "apn": Kind(
        apn.detect,
        frozenset({"propose", "classify"}),
        apn.Parameters,
        apn.intermediate_bytes,
        {"propose": Choice("propose", ("amplitude_bands", "phase_bands"))},
        apn.check,
    ),
    "lnp": Kind(
        lnp.detect,
        frozenset({"denoise", "classify"}),
        lnp.ServedParameters,
        lnp.intermediate_bytes,
        {"sam_decode": Choice("sam_decode", ("masks", "overlap"))},
        lnp.check,
    ),
}
KINDS[ENSEMBLE] = Ensemble(KINDS)


def detector_of(bundle: Bundle) -> Detector:
    """The detector that runs `bundle`.

    Raises:
        BundleError: the kind is unknown, a graph of it is missing, or its parameters are wrong.
    """
    kind = KINDS.get(bundle.kind)
    if kind is None:
        raise BundleError(
            f"bundle {bundle.path}: kind {bundle.kind!r} is unknown; this Assay runs {', '.join(KINDS)}"
        )
    if missing := kind.graphs - bundle.manifest.graphs.keys():
        raise BundleError(
            f"bundle {bundle.path}: kind {bundle.kind!r} needs graph {', '.join(sorted(missing))}"
        )
    try:
        detector = kind.detector(bundle.manifest)
        kind.check(bundle.manifest)
        _check_domain(bundle.manifest, kind)
    except ValidationError as error:
        where, said = first_fault(error)
        raise BundleError(f"bundle {bundle.path}: manifest.json, parameters.{where}: {said}") from None
    except ValueError as error:
        raise BundleError(f"bundle {bundle.path}: manifest.json: {error}") from None
    return detector


def _check_domain(manifest: Manifest, kind: Kind) -> None:
    domain = manifest.domain
    if domain is None:
        return
    if manifest.min_side < LEAST_SIDE:
        raise ValueError(f"domain needs a min_side of at least {LEAST_SIDE}, not {manifest.min_side}")
    outputs = manifest.graphs[kind.distance].outputs if kind.distance else {}
    if domain.distance is not None and plain.DISTANCE not in outputs:
        raise ValueError(
            f"domain.distance needs a graph with an output {plain.DISTANCE!r}, and there is none"
        )


def intermediate_bytes(bundle: Bundle) -> int:
    """Bytes that one image needs between its pixels and its score, or between these and its measures."""
    needed = KINDS[bundle.kind].intermediate_bytes(bundle.manifest)
    return max(needed, MEASURE_BYTES) if bundle.manifest.domain else needed


def make_graphs(
    bundle: Bundle,
    precision: Callable[[str], str],
    executor: Callable[[Path, GraphSpec, str], Made],
) -> dict[str, Made]:
    """Every graph that the detector of `bundle` asks for, run by `executor(file, spec, precision)`.

    Graphs that choose indices run in fp32, the others in `precision(name)`. What would be the same executor
    under two names is made once.
    """
    wanted = {name: (name, precision(name)) for name in bundle.manifest.graphs}
    wanted |= {
        name: (choice.graph, "fp32") for name, choice in KINDS[bundle.kind].choices(bundle.manifest).items()
    }
    made: dict[tuple[str, str], Made] = {}
    for name, precise in dict.fromkeys(wanted.values()):
        spec = bundle.manifest.graphs[name]
        made[name, precise] = executor(bundle.path / spec.file, spec, precise)
    return {name: made[key] for name, key in wanted.items()}
