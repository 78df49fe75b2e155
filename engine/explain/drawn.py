"""The evidence of a verdict as pictures within its outcome: what a worker adds for a `drawn` item."""

import base64
import io
from dataclasses import replace
from typing import Any

from assay.engine.explain import PANELS
from assay.engine.explain.sheet import Panel
from assay.engine.explain.traced import traced
from assay.engine.outcome import Outcome, Rejection
from assay.engine.worker.scorer import Batch, Job, Scorer

_QUALITY = 92


def draw(scorer: Scorer, bundle: str, job: Job, batch: Batch) -> Outcome:
    """The outcome of `job`, which alone is in the decoded `batch`; a verdict has `evidence.pictures`.

    Raises what `Scorer.score` raises.
    """
    found = traced(scorer, bundle, job, batch)
    if isinstance(found, Rejection):
        return found
    verdict, seen = found
    pictures = [_picture(panel) for panel in PANELS[seen.manifest.kind](seen)]
    return replace(verdict, evidence={**verdict.evidence, "pictures": pictures})


def _picture(panel: Panel) -> dict[str, Any]:
    file = io.BytesIO()
    panel.image.save(file, "WEBP", quality=_QUALITY)
    return {
        "title": panel.title,
        "notes": list(panel.notes),
        "width": panel.image.width,
        "height": panel.image.height,
        "webp": base64.b64encode(file.getvalue()).decode(),
    }
