"""The evidence of one image's verdict as a picture: `assay explain`.

The detector runs as it is served, on graphs that remember what went through them; each kind then draws that
in a file of its own. Serving pays nothing for it.
"""

from collections.abc import Callable

from PIL import Image

from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.decode import make_decoder
from assay.engine.detectors import Stopwatch
from assay.engine.detectors.detector import tapped
from assay.engine.explain import apn, fusing, lnp, plain
from assay.engine.explain.seen import Call, Trace
from assay.engine.explain.sheet import COLOURS, Panel, sheet
from assay.engine.outcome import Refused, Verdict
from assay.engine.provenance import Checker, claims, in_words
from assay.engine.report.picture import orientation_of
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Chain

PANELS: dict[str, Callable[[Trace], list[Panel]]] = {
    "plain": plain.panels,
    "fusing": fusing.panels,
    "apn": apn.panels,
    "lnp": lnp.panels,
}
"""How the evidence of each kind of detector is drawn."""


def explain(name: str, data: bytes, bundle: Bundle, settings: Settings) -> tuple[Verdict, Image.Image]:
    """The verdict of `bundle` on the encoded image `data`, and a page of what it rests on.

    Raises:
        Refused: the image gets no verdict.
        BundleError: the bundle cannot be served.
    """
    header = admit(data, settings.limits, bundle.manifest.min_side)
    [pixels] = make_decoder(settings.decoder).decode([(data, header)])
    if isinstance(pixels, Refused):
        raise pixels
    chain, watch = Chain(bundle, settings), Stopwatch()
    calls: dict[str, Call] = {}
    graphs = tapped(chain.graphs, chain.graphs, lambda name, *call: calls.update({name: Call(*call)}))
    [detection] = chain.detector([pixels], graphs, watch)
    checker = Checker(settings.trust_list) if settings.provenance != "off" else None
    provenance = claims(data, header, checker) if checker else None
    verdict = chain.verdict(detection, watch.seconds, provenance)
    seen = Trace(pixels, orientation_of(data), bundle.manifest, detection, calls)
    limits = bundle.manifest.thresholds
    shown = ", turned for showing as its EXIF says" if seen.orientation != 1 else ""
    file = f"{name}: {header.width} x {header.height} {header.name}{shown}"
    rule = (
        f"{bundle.name} {bundle.version} ({bundle.kind}): logit {detection.logit:+.3f}; synthetic from "
        f"{limits.synthetic:.3f}, authentic up to {limits.authentic:.3f}"
    )
    headline = f"{verdict.label.value}, probability of synthetic {verdict.probability:.3f}"
    words = [file, rule, in_words(verdict.evidence)]
    return verdict, sheet(headline, COLOURS[verdict.label], words, PANELS[bundle.kind](seen))
