"""Table 4 of the APN paper, and hard masks against soft: a run again with one thing changed at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.fit.run import LAST
from assay.trainers.kinds.apn.fit import make_fit, scorer_of
from assay.trainers.kinds.apn.run import ApnRun, Branch
from assay.trainers.study.accuracy import MAP, Columns, by_folder, by_generator, shares_photographs
from assay.trainers.study.kept import Kept
from assay.trainers.study.method import Method, decides_of
from assay.trainers.study.table import line

Subject = Literal["modules", "proposals", "masks"]
CHANGES: dict[Subject, dict[str, dict[str, Any]]] = {
    "modules": {
        "1 without implicit purification": {"form": "no_implicit"},
        "2 without explicit purification": {"form": "no_explicit"},
        "3 frequency alone": {"form": "frequency"},
        "4 space alone": {"form": "space"},
        "5 spectra in place of proposals": {"form": "spectra"},
        "6 channels split, not taken apart": {"form": "split"},
        "7 whole": {"form": "whole"},
    },
    "proposals": {
        f"{count} proposal{'s' * (count > 1)}": {"proposals": count} for count in (1, 5, 10, 15, 20, 25)
    },
    "masks": {"hard masks": {"masks": "hard"}, "soft masks": {"masks": "soft"}},
}


def evaluate(
    folder: Path,
    out: Path,
    subject: Subject,
    samples: Sequence[Sample],
    weights: Mapping[Branch, Path],
    workers: int,
    tell: Callable[[str], None] = lambda name: None,
    device: str = "auto",
) -> tuple[dict[str, Columns], list[Method]]:
    """Accuracy by generator, its average and the mean average precision in percent, for each change; and what
    was judged, which knows the files that were left out.

    Of the number of proposals accuracy is by folder, as in table 2, where generators share their photographs.

    folder: the run that is changed; it is judged as it is where a change says what it has. Other networks
    are trained in folders below `out`; those that are there are taken, unfinished ones finished.
    """
    base = ApnRun.read(folder)
    columns = by_folder if subject == "proposals" and shares_photographs(samples) else by_generator
    found: dict[str, Columns] = {}
    judged: list[Method] = []
    for name, change in CHANGES[subject].items():
        tell(name)
        run = base.model_copy(update=change)
        where = folder if run == base else out / "runs" / name.replace(" ", "_").replace(",", "")
        if run != base:
            _train(run, where, weights, workers, device)
        method = Method(name, scorer_of(where, device), decides_of(where, device), Kept(out))
        scored = method.score(samples, None)
        judged.append(method)
        found[name] = {**columns(scored), MAP: line(name, scored).total}
    return found, judged


def _train(run: ApnRun, folder: Path, weights: Mapping[Branch, Path], workers: int, device: str) -> None:
    resume = (folder / LAST).exists()
    if resume and ApnRun.read(folder) != run:
        raise SetupError(f"{folder} holds a run with other settings: name another folder for the results")
    run.write(folder)
    fit = make_fit(run, folder, {} if resume else weights, workers, device)
    if resume:
        fit.resume()
    fit.run()
