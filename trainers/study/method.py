"""What a study compares: bundles as they are served, and runs whose networks no bundle holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine import bundle as bundles
from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.means import Means, ready
from assay.trainers.evaluate.score import Alter, Scored, Scorer, score
from assay.trainers.fit.run import kind_of
from assay.trainers.kinds import KINDS


@dataclass(frozen=True)
class Method:
    """A detector under the name that a table gives it.

    scorer(samples, alter): scores the samples, each altered between decoding and the detector.
    left_out: files that `score` could not score so far, corrupt or too small.
    """

    name: str
    scorer: Scorer
    left_out: set[Path] = field(default_factory=set)

    def score(self, samples: Sequence[Sample], alter: Alter | None) -> Scored:
        scored = self.scorer(samples, alter)
        self.left_out.update(scored.unreadable)
        return scored


def method_of(text: str, means: Means | None = None) -> Method:
    """`NAME=FOLDER`, the folder of a training run, whose best network is taken, or a bundle, as anywhere.

    Runs compute on the device of `means`, by torch in fp32; bundles by its executor and in its precision.
    Raises SetupError where it is neither, or cannot be run so.
    """
    means = means or Means()
    name, equals, path = text.partition("=")
    folder = Path(path)
    if not (name and equals and path):
        raise SetupError(f"{text!r} is not NAME=FOLDER, such as psm=runs/fusing")
    if (folder / "manifest.json").is_file() or path in {shipped.name for shipped in bundles.shipped()}:
        bundle = bundles.find(path)
        made = ready(bundle, means)
        return Method(
            name,
            lambda samples, alter: score(
                samples, bundle.manifest, made.graphs, detect=made.detect, alter=alter
            ),
        )
    kind = kind_of(folder)
    if kind not in KINDS or not hasattr(module := KINDS[kind].load(), "scorer_of"):
        raise SetupError(f"{folder} is a run of the kind {kind!r}, which gives no verdict")
    return Method(name, module.scorer_of(folder, means.device))
