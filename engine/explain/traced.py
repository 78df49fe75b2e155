"""One image scored as it is served, on graphs that remember what went through them."""

from assay.engine.detectors import Detection
from assay.engine.detectors.detector import Arrays
from assay.engine.explain.seen import Call, Trace
from assay.engine.outcome import Refused, Rejection, Verdict
from assay.engine.report.picture import orientation_of
from assay.engine.worker.scorer import Batch, Job, Scorer
from assay.kernels.arrays import on_host


def traced(scorer: Scorer, bundle: str, job: Job, batch: Batch) -> Rejection | tuple[Verdict, Trace]:
    """The outcome of `job`, which alone is in the decoded `batch`, and what there is to draw of a verdict.

    Raises what `Scorer.score` raises.
    """
    calls: dict[str, Call] = {}

    def keep(name: str, inputs: Arrays, outputs: Arrays) -> None:
        call = Call(tuple(map(on_host, inputs)), tuple(map(on_host, outputs)))
        calls[name] = calls[name].followed_by(call) if name in calls else call

    [outcome] = scorer.infer(bundle, batch, keep)
    [pixels] = batch.results
    if isinstance(outcome, Rejection) or isinstance(pixels, Refused):
        assert isinstance(outcome, Rejection)
        return outcome
    manifest = scorer.manifest(bundle)
    detection = Detection(outcome.scores[manifest.kind], dict(outcome.evidence))
    return outcome, Trace(on_host(pixels), orientation_of(bytes(job.data)), manifest, detection, calls)
