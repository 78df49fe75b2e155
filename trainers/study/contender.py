"""What a study compares: bundles as they are served, and runs whose networks no bundle holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine import bundle as bundles
from assay.engine.errors import SetupError
from assay.trainers.data.augment import Pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Scored, score, torch_graph
from assay.trainers.export.bundle import graphs_of
from assay.trainers.fit import checkpoint
from assay.trainers.fit.loop import BEST
from assay.trainers.fit.run import Run, kind_of
from assay.trainers.kinds.apn import fit as apn
from assay.trainers.kinds.fusing.fit import FusingRun, scored_by
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.lnp import fit as lnp
from assay.trainers.kinds.plain.fit import draft
from assay.trainers.kinds.plain.network import Plain

Alter = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Contender:
    """A detector under the name that a table gives it.

    scorer(samples, alter): scores the samples, each altered between decoding and the detector.
    left_out: files that `score` could not score so far, corrupt or too small.
    """

    name: str
    scorer: Callable[[Sequence[Sample], Alter | None], Scored]
    left_out: set[Path] = field(default_factory=set)

    def score(self, samples: Sequence[Sample], alter: Alter | None) -> Scored:
        scored = self.scorer(samples, alter)
        self.left_out.update(scored.unreadable)
        return scored


def contender(text: str) -> Contender:
    """`NAME=FOLDER`, the folder of a training run, whose best network is taken, or a bundle, as anywhere.

    Raises SetupError where it is neither.
    """
    name, equals, path = text.partition("=")
    folder = Path(path)
    if not (name and equals and path):
        raise SetupError(f"{text!r} is not NAME=FOLDER, such as psm=runs/fusing")
    if (folder / "manifest.json").is_file() or path in {shipped.name for shipped in bundles.shipped()}:
        bundle = bundles.find(path)
        graphs = graphs_of(bundle)
        return Contender(name, lambda samples, alter: score(samples, bundle.manifest, graphs, alter=alter))
    if kind_of(folder) == "fusing":
        record = FusingRun.read(folder)
        network = Fusing(record.backbone, record.patches)
        network.load_state_dict(checkpoint.load_state(folder / BEST))
        return Contender(name, lambda samples, alter: scored_by(network, samples, alter))
    if kind_of(folder) == "apn":
        _, purifier = apn.trained(folder)
        return Contender(name, lambda samples, alter: apn.scored_by(purifier, samples, alter))
    if kind_of(folder) == "lnp":
        return Contender(name, lambda samples, alter: lnp.scored_by(folder, samples, alter))
    run = Run.read(folder)
    model = Plain(run.backbone)
    model.load_state_dict(checkpoint.load_state(folder / BEST))
    classify = {"classify": torch_graph(model.eval())}
    return Contender(name, lambda samples, alter: score(samples, draft(run.size), classify, alter=alter))
