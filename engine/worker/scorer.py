"""The path of an image inside a worker: decoded, viewed, scored, calibrated, labelled; run to completion.

The same object runs in every worker process and, with `workers=0`, in the caller's.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np
import simplejpeg

from assay.engine.admission import Header, admit
from assay.engine.bundle import Bundle, Manifest
from assay.engine.decode import Decoded, Encoded, make_decoder
from assay.engine.decode.confined import ConfinedDecoder
from assay.engine.decode.screened import HostsPart, ScreenedDecoder
from assay.engine.detectors import Detection, Graph, Image, Stopwatch, detector_of, make_graphs
from assay.engine.detectors.detector import Tap, tapped
from assay.engine.detectors.measures import measures_of
from assay.engine.domain import Measures
from assay.engine.errors import EngineFault
from assay.engine.executors.choose import choose
from assay.engine.outcome import Label, Outcome, Refused, Verdict
from assay.engine.provenance import Checker, Provenance, Source, claims
from assay.engine.settings import Limits, Settings
from assay.engine.worker.gpu import Gpu, host_threads
from assay.engine.worker.oom import OomSplitter
from assay.kernels.images import Gathered


@dataclass(frozen=True, slots=True)
class Job:
    """One admitted image of a batch: encoded bytes and what their header said."""

    data: bytes | memoryview
    header: Header


Note = Callable[[int | None], None]
"""Told which image of a batch is being decoded, and None when none is any more."""


class Followed(list[Encoded]):
    """A batch that shows how far a decoder is that takes one image after the other."""

    def __init__(self, images: Sequence[Encoded], note: Note) -> None:
        super().__init__(images)
        self._note = note

    def __iter__(self) -> Iterator[Encoded]:
        for place, image in enumerate(super().__iter__()):
            self._note(place)
            yield image

    def over(self) -> None:
        self._note(None)


@dataclass(frozen=True, slots=True)
class Screened:
    """Images of which the host has done its part; `found` is None where the decoder has but one."""

    jobs: Sequence[Job]
    images: Followed
    found: HostsPart | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images, or why not; the seconds that took; on a GPU the event after which pixels are there.

    `provenance`: of each image what its metadata say, None where that is nothing. `qualities`: those of the
    headers.
    """

    results: Sequence[Decoded]
    seconds: float
    ready: Any
    provenance: Sequence[Provenance | None]
    qualities: Sequence[int]


class Scorer:
    """Scores batches for the bundles it was made with.

    On the CPU or, where the settings name `devices`, on the first GPU that the process sees.

    `score` is `screen`, `finish` and then `infer`, which may be called in three threads: while a batch is
    scored the next one is decoded, and the one after that is checked.
    `confined`: an image may take the memory that was reserved for it, and no more (for a process of its own).

    Raises:
        BundleError: a bundle's kind, graph or precision cannot be served.
        SetupError: a library that the settings need is not installed, or the trust list cannot be read.
        EngineFault: the GPU cannot be used.
    """

    def __init__(self, bundles: Sequence[Bundle], settings: Settings, confined: bool = False) -> None:
        self._gpu = Gpu() if settings.devices else None
        threads = host_threads(len(settings.devices))
        with self._gpu.decoding() if self._gpu else nullcontext():
            self._decoder = make_decoder(settings.decoder, self._gpu is not None, threads)
        if confined:
            self._decoder = ConfinedDecoder(self._decoder)
        self._manifests = Checker(settings.trust_list) if settings.provenance != "off" else None
        self._oom: OomSplitter[Image, Detection] = OomSplitter(
            self._gpu.release if self._gpu else lambda: None
        )
        self._chains = {bundle.name: Chain(bundle, settings) for bundle in bundles}

    @property
    def description(self) -> str:
        """The bundles, what runs them, and the precision that each graph runs in."""
        chains = "; ".join(chain.description for chain in self._chains.values())
        return f"{chains}, on {self._gpu.name}" if self._gpu else chains

    @property
    def graphs(self) -> list[tuple[str, ...]]:
        """Bundle, version, graph, executor and precision of each graph."""
        return [
            (chain.bundle.name, chain.bundle.version, graph, chain.executor, precision)
            for chain in self._chains.values()
            for graph, precision in chain.precisions.items()
        ]

    def score(self, bundle: str, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome per job, in order, with empty ids (the core knows whose they are).

        Raises whatever a detector raises: that is a fault of the engine, never of one image's data.
        """
        return self.infer(bundle, self.decode(jobs))

    def decode(self, jobs: Sequence[Job], note: Note = lambda place: None) -> Batch:
        """The pixels of a batch. On a GPU they are being decoded when this returns."""
        return self.finish(self.screen(jobs, note))

    def screen(self, jobs: Sequence[Job], note: Note = lambda place: None) -> Screened:
        """The first half of `decode`, which needs no GPU: the next batch may take it beside the second."""
        images = Followed([(job.data, job.header) for job in jobs], note)
        start = perf_counter()
        found = self._decoder.screen(images) if isinstance(self._decoder, ScreenedDecoder) else None
        return Screened(jobs, images, found, perf_counter() - start)

    def finish(self, screened: Screened) -> Batch:
        """The second half of `decode`."""
        start = perf_counter()
        with self._gpu.decoding() if self._gpu else nullcontext():
            if screened.found and isinstance(self._decoder, ScreenedDecoder):
                results = self._decoder.finish(screened.found)
            else:
                results = self._decoder.decode(screened.images)
            screened.images.over()
            provenance = self._provenance(screened.jobs, results)
        ready = self._gpu.decoded() if self._gpu else None
        qualities = [job.header.quality for job in screened.jobs]
        return Batch(results, screened.seconds + perf_counter() - start, ready, provenance, qualities)

    def _provenance(self, jobs: Sequence[Job], results: Sequence[Decoded]) -> list[Provenance | None]:
        """What the metadata of each image say; of one without pixels nobody asks."""
        checker = self._manifests
        if checker is None:
            return [None] * len(jobs)
        return [
            None if isinstance(result, Refused) else claims(job.data, job.header, checker)
            for job, result in zip(jobs, results, strict=True)
        ]

    def manifest(self, bundle: str) -> Manifest:
        return self._chains[bundle].bundle.manifest

    def infer(self, bundle: str, batch: Batch, tap: Tap | None = None) -> list[Outcome]:
        """One outcome for each image of a decoded batch, in order; see `score`. `tap` is told of what goes
        through the graphs."""
        chain = self._chains[bundle]
        watch = Stopwatch()
        images = Gathered(result for result in batch.results if not isinstance(result, Refused))
        qualities = [
            quality
            for quality, result in zip(batch.qualities, batch.results, strict=True)
            if not isinstance(result, Refused)
        ]
        start = perf_counter()
        with self._gpu.computing(batch.ready) if self._gpu else nullcontext():
            detections = self._oom(lambda part: chain.detect(part, watch, tap), images)
            found = zip(detections, chain.measure(images, detections, qualities, watch), strict=True)
        seconds = {"decode": batch.seconds, **watch.seconds}
        if self._gpu:  # stages are what it took to give the work to the device, and this is the rest
            seconds["device"] = perf_counter() - start - sum(watch.seconds.values())
        share = {stage: round(taken / len(batch.results), 9) for stage, taken in seconds.items()}
        return [
            result.rejection("")
            if isinstance(result, Refused)
            else chain.verdict(*next(found), share, provenance)
            for result, provenance in zip(batch.results, batch.provenance, strict=True)
        ]

    def self_test(self) -> float:
        """Score a built-in image with every bundle -> the most seconds of processor time that one took.

        Raises:
            EngineFault: a bundle gave no verdict on it.
        """
        pace = 0.0
        for name, chain in self._chains.items():
            start = process_time()
            data = _test_card(max(chain.bundle.manifest.min_side, 256))
            outcome = self.score(name, [Job(data, admit(data, Limits(), 1))])[0]
            if not isinstance(outcome, Verdict):
                raise EngineFault(f"bundle {name}: the built-in image was refused: {outcome.detail}")
            pace = max(pace, process_time() - start)
        return pace


class Chain:
    """One bundle, ready to run: its detector with compiled graphs.

    Raises:
        BundleError: its kind, a graph or a precision cannot be served.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self.bundle = bundle
        self.detector = detector_of(bundle)
        self._acts = settings.provenance == "act"
        runtime = choose(settings)
        self.graphs: Mapping[str, Graph] = make_graphs(
            bundle, lambda name: runtime.precision(bundle, name, settings), runtime.make
        )
        self.executor = runtime.title
        self.precisions = {name: runtime.precision(bundle, name, settings) for name in bundle.manifest.graphs}
        chosen = ", ".join(f"{name} in {precision}" for name, precision in self.precisions.items())
        self.description = f"{bundle.name} {bundle.version} with {runtime.title}: {chosen}"

    def detect(self, images: Sequence[Image], watch: Stopwatch, tap: Tap | None = None) -> list[Detection]:
        return self.detector(images, tapped(self.graphs, self.graphs, tap) if tap else self.graphs, watch)

    def measure(
        self,
        images: Sequence[Image],
        detections: Sequence[Detection],
        qualities: Sequence[int],
        watch: Stopwatch,
    ) -> list[Measures]:
        """Of each image what the limits of the bundle's domain are held against; nothing without a domain."""
        if self.bundle.manifest.domain is None:
            return [{}] * len(images)
        with watch.stage("measure"):
            return measures_of(images, detections, qualities)

    def verdict(
        self,
        detection: Detection,
        measures: Measures,
        seconds: Mapping[str, float],
        provenance: Provenance | None = None,
    ) -> Verdict:
        """The verdict of a detection; the label is that of the probability, unless `measures` give cause to
        doubt it, or provenance may set it."""
        if not all(
            map(math.isfinite, (detection.logit, detection.distance or 0.0, *detection.scores.values()))
        ):
            raise EngineFault(f"bundle {self.bundle.name}: {_not_finite(detection)}")
        manifest = self.bundle.manifest
        probability = manifest.calibration.probability(detection.logit)
        evidence = dict(detection.evidence)
        if measures:
            evidence["measures"] = measures
        label, doubts = manifest.label(probability, measures)
        if provenance:
            evidence["provenance"] = said = provenance.to_dict()
            declared = provenance.declared
            if self._acts and declared and declared[0] is Source.SYNTHETIC:
                said["label"] = {"was": label.value, "because": declared[1]}
                label, doubts = Label.SYNTHETIC, ()
        return Verdict(
            id="",
            label=label,
            probability=probability,
            scores={manifest.kind: detection.logit, **detection.scores},
            bundle=manifest.name,
            version=manifest.version,
            evidence=evidence,
            seconds=seconds,
            doubts=doubts,
        )


def _not_finite(detection: Detection) -> str:
    numbers = {"logit": detection.logit, "distance": detection.distance or 0.0, **detection.scores}
    return ", ".join(f"the {name} is {value}" for name, value in numbers.items() if not math.isfinite(value))


def _test_card(side: int) -> bytes:
    """A JPEG of smooth gradients, `side` pixels square."""
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    card = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[::-1, None]), axis=-1)
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(card, np.uint8), quality=90)
    return data
