"""What a study compares: bundles as they are served, and runs whose networks no bundle holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine import bundle as bundles
from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.means import Means, ready
from assay.trainers.evaluate.score import Alter, Scored, Scorer, score
from assay.trainers.fit.device import device_of
from assay.trainers.fit.run import FILE, LAST, kind_of
from assay.trainers.kinds import KINDS
from assay.trainers.study.kept import Kept, fingerprint


@dataclass(frozen=True)
class Method:
    """A detector under the name that a table gives it.

    scorer(samples, alter): scores the samples, each altered between decoding and the detector.
    decides: what its answers follow from, by name; kept: where finished parts of them lie, if anywhere.
    left_out: files that `score` could not score so far, corrupt or too small.
    """

    name: str
    scorer: Scorer
    decides: Mapping[str, str] = field(default_factory=dict)
    kept: Kept | None = None
    left_out: set[Path] = field(default_factory=set)

    def score(self, samples: Sequence[Sample], alter: Alter | None, title: str = "") -> Scored:
        """`title`: what the bar says beside the name. What `alter` does has to be all in its `repr`.

        Raises SetupError where photographs or synthetic images are missing from what could be scored.
        """
        if self.kept is None:
            scored = self.scorer(samples, alter)
        else:
            scored = self.kept.scored(
                f"{self.name}{title and f', {title}'}",
                {**self.decides, "alter": repr(alter)},
                samples,
                lambda part: self.scorer(part, alter),
            )
        self.left_out.update(scored.unreadable)
        for label, kind in enumerate(("photographs", "synthetic images")):
            if not (scored.labels == label).any():
                raise SetupError(
                    f"{self.name}: there are no {kind} among the images that it could score, "
                    f"{len(scored.samples)} of {len(samples)}; the others are corrupt or too small for it"
                )
        return scored


def methods_of(texts: Sequence[str], means: Means | None = None, kept: Kept | None = None) -> list[Method]:
    """As `method_of` says of each. Raises SetupError, too, where two have one name."""
    found: dict[str, Method] = {}
    for text in texts:
        one = method_of(text, means, kept)
        if one.name in found:
            raise SetupError(f"two methods are called {one.name}: give each a name of its own")
        found[one.name] = one
    return list(found.values())


def left_out_by(methods: Sequence[Method]) -> dict[str, set[Path]]:
    """By name the files that a method's networks, of which it may have several, could not score."""
    found: dict[str, set[Path]] = {}
    for one in methods:
        found.setdefault(one.name, set()).update(one.left_out)
    return found


def method_of(text: str, means: Means | None = None, kept: Kept | None = None) -> Method:
    """`NAME=FOLDER`, the folder of a training run, whose best network is taken, or a bundle, as anywhere.

    kept: where parts that are finished lie and go. Runs compute on the device of `means`, by torch in fp32;
    bundles by its executor and in its precision. Raises SetupError where it is neither, or cannot be run so.
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
            {"bundle": fingerprint(bundle.path / "manifest.json"), "by": f"{means} {made.precision}"},
            kept,
        )
    kind = kind_of(folder)
    if kind not in KINDS or not hasattr(module := KINDS[kind].load(), "scorer_of"):
        raise SetupError(f"{folder} is a run of the kind {kind!r}, which gives no verdict")
    return Method(name, module.scorer_of(folder, means.device), decides_of(folder, means.device), kept)


def decides_of(folder: Path, device: str) -> dict[str, str]:
    """What the answers of a run's best network on a device follow from: its settings and its weights."""
    weights = sorted(file for file in folder.glob("*.pt") if file.name != LAST)
    return {"run": fingerprint(folder / FILE, *weights), "by": str(device_of(device))}
