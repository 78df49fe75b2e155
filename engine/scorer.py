"""The path of an image inside a worker: decoded, viewed, scored, calibrated, labelled; run to completion.

The same object runs in every worker process and, with `workers=0`, in the caller's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg

from assay.engine.admission import Header, admit
from assay.engine.bundle import Bundle
from assay.engine.decode import make_decoder
from assay.engine.detectors import Detection, Graph, Image, Stopwatch, detector_of, make_graphs
from assay.engine.errors import BundleError, EngineFault
from assay.engine.executors.openvino import OpenVinoGraph, computes_bf16
from assay.engine.outcome import Outcome, Refused, Verdict
from assay.engine.settings import Limits, Settings


@dataclass(frozen=True, slots=True)
class Job:
    """One admitted image of a batch: encoded bytes and what their header said."""

    data: bytes | memoryview
    header: Header


class Scorer:
    """Scores batches for the bundles it was made with.

    Raises:
        BundleError: a bundle's kind, graph or precision cannot be served.
    """

    def __init__(self, bundles: Sequence[Bundle], settings: Settings) -> None:
        self._decoder = make_decoder(settings.decoder)
        self._chains = {bundle.name: Chain(bundle, settings) for bundle in bundles}

    @property
    def description(self) -> str:
        """The bundles, and the precision that each graph runs in."""
        return "; ".join(chain.description for chain in self._chains.values())

    def score(self, bundle: str, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome per job, in order, with empty ids (the core knows whose they are).

        Raises whatever a detector raises: that is a fault of the engine, never of one image's data.
        """
        chain = self._chains[bundle]
        watch = Stopwatch()
        with watch.stage("decode"):
            decoded = self._decoder.decode([(job.data, job.header) for job in jobs])
        images = [result for result in decoded if not isinstance(result, Refused)]
        detections = iter(chain.detect(images, watch) if images else [])
        share = {stage: seconds / len(jobs) for stage, seconds in watch.seconds.items()}
        return [
            result.rejection("") if isinstance(result, Refused) else chain.verdict(next(detections), share)
            for result in decoded
        ]

    def self_test(self) -> None:
        """Score a built-in image with every bundle.

        Raises:
            EngineFault: a bundle gave no verdict on it.
        """
        for name, chain in self._chains.items():
            data = _test_card(max(chain.bundle.manifest.min_side, 256))
            outcome = self.score(name, [Job(data, admit(data, Limits(), 1))])[0]
            if not isinstance(outcome, Verdict):
                raise EngineFault(f"bundle {name}: the built-in image was refused: {outcome.detail}")


class Chain:
    """One bundle, ready to run: its detector with compiled graphs.

    Raises:
        BundleError: its kind, a graph or a precision cannot be served.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self.bundle = bundle
        self.detector = detector_of(bundle)
        self.graphs: Mapping[str, Graph] = make_graphs(
            bundle, lambda name: choose_precision(bundle, name, settings), OpenVinoGraph
        )
        precisions = {name: choose_precision(bundle, name, settings) for name in bundle.manifest.graphs}
        chosen = ", ".join(f"{name} in {precision}" for name, precision in precisions.items())
        self.description = f"{bundle.name} {bundle.version} with OpenVINO: {chosen}"

    def detect(self, images: Sequence[Image], watch: Stopwatch) -> list[Detection]:
        return self.detector(images, self.graphs, self.bundle.manifest, watch)

    def verdict(self, detection: Detection, seconds: Mapping[str, float]) -> Verdict:
        if not math.isfinite(detection.logit):
            raise EngineFault(f"bundle {self.bundle.name}: the logit is {detection.logit}")
        manifest = self.bundle.manifest
        probability = manifest.calibration.probability(detection.logit)
        return Verdict(
            id="",
            label=manifest.thresholds.label(probability),
            probability=probability,
            scores={manifest.kind: detection.logit},
            bundle=manifest.name,
            version=manifest.version,
            evidence=detection.evidence,
            seconds=seconds,
        )


def choose_precision(bundle: Bundle, graph: str, settings: Settings) -> str:
    """The precision that one graph runs in: what was asked for, or the fastest that was measured.

    Raises:
        BundleError: the precision asked for is not listed in the manifest.
    """
    offered = bundle.manifest.graphs[graph].precisions
    if settings.precision == "auto":
        return "bf16" if "bf16" in offered and computes_bf16() else "fp32"
    if settings.precision not in offered and not settings.allow_unmeasured:
        raise BundleError(
            f"bundle {bundle.path}: graph {graph!r} was not measured in {settings.precision} "
            f"(only in {', '.join(offered)}); choose one of these or allow unmeasured precisions"
        )
    return settings.precision


def _test_card(side: int) -> bytes:
    """A JPEG of smooth gradients, `side` pixels square."""
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    card = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[::-1, None]), axis=-1)
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(card, np.uint8), quality=90)
    return data
