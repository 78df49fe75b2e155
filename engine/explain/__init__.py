"""The evidence of one image's verdict as a picture: `assay explain`, and the dashboard.

The detector runs as it is served, on graphs that remember what went through them; each kind then draws that
in a file of its own. Serving pays nothing for it.
"""

from collections.abc import Callable

from PIL import Image

from assay.engine import domain
from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.explain import apn, ensemble, fusing, lnp, plain
from assay.engine.explain.seen import Trace
from assay.engine.explain.sheet import COLOURS, Panel, sheet
from assay.engine.explain.traced import traced
from assay.engine.outcome import Refused, Rejection, Verdict
from assay.engine.provenance import in_words
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Job, Scorer

PANELS: dict[str, Callable[[Trace], list[Panel]]] = {
    "plain": plain.panels,
    "fusing": fusing.panels,
    "apn": apn.panels,
    "lnp": lnp.panels,
}
"""How the evidence of each kind of detector is drawn."""
PANELS["ensemble"] = ensemble.drawing(PANELS)


class Explainer:
    """Explains one image after another on one set of graphs; memory does not grow with their number.

    Raises what `Scorer` raises.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self._bundle, self._settings = bundle, settings
        self._scorer = Scorer([bundle], settings)

    def __call__(self, name: str, data: bytes) -> tuple[Verdict, Image.Image]:
        """The verdict on the encoded image `data`, and a page of what it rests on.

        Raises `Refused` where the image gets no verdict.
        """
        bundle = self._bundle
        header = admit(data, self._settings.limits, bundle.manifest.min_side)
        job = Job(data, header)
        found = traced(self._scorer, bundle.name, job, self._scorer.decode([job]))
        if isinstance(found, Rejection):
            raise Refused(found.reason, found.detail, **found.about)
        verdict, seen = found
        limits = bundle.manifest.thresholds
        shown = ", turned for showing as its EXIF says" if seen.orientation != 1 else ""
        file = f"{name}: {header.width} x {header.height} {header.name}{shown}"
        rule = (
            f"{bundle.name} {bundle.version} ({bundle.kind}): logit {seen.detection.logit:+.3f}; "
            f"synthetic from {limits.synthetic:.3f}, authentic up to {limits.authentic:.3f}"
        )
        headline = f"{verdict.label.value}, probability of synthetic {verdict.probability:.3f}"
        words = [file, rule, domain.in_words(verdict), in_words(verdict.evidence)]
        return verdict, sheet(headline, COLOURS[verdict.label], words, PANELS[bundle.kind](seen))


def explain(name: str, data: bytes, bundle: Bundle, settings: Settings) -> tuple[Verdict, Image.Image]:
    """The verdict of `bundle` on the encoded image `data`, and a page of what it rests on.

    Raises:
        Refused: the image gets no verdict.
        BundleError: the bundle cannot be served.
    """
    admit(data, settings.limits, bundle.manifest.min_side)  # what is refused need not wait for the graphs
    return Explainer(bundle, settings)(name, data)
