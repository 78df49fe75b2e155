"""Bundles as they are served on a GPU by default: a row each, from the bytes of JPEGs to verdicts."""

from collections.abc import Sequence
from typing import Any

from assay.bench.gpu_rates import Say, engine_path, model_alone
from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.errors import BundleError, EngineFault, SetupError
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Chain

COLUMNS = (
    "bundle",
    "executor, precision",
    "batch",
    "model alone, images/s",
    "whole path, images/s",
    "of min(decode, model)",
    "largest difference of the probability to the host's",
    "shares of a worker's time",
)
COMPARED = 16
"""Images that the host scores, too."""
HOST = Settings(workers=0, executor="onnxruntime", precision="fp32")
"""ONNX Runtime in fp32: what a machine for GPUs is likely to have."""


def path_table(
    bundles: Sequence[Bundle],
    settings: Settings,
    files: Sequence[bytes],
    on_device: Sequence[Any],
    decode_limit: float,
    say: Say,
) -> None:
    """Says a table, row by row. `on_device`: decoded images; `decode_limit`: images/s of decoding alone."""
    say(f"| {' | '.join(COLUMNS)} |")
    say("|---|---|--:|--:|--:|--:|--:|---|")
    for bundle in bundles:
        try:
            cells = _row(bundle, settings, files, on_device, decode_limit)
        except (SetupError, BundleError, EngineFault) as error:
            cells = [f"not run: {error}".replace("|", "/"), *[""] * (len(COLUMNS) - 2)]
        say(f"| {' | '.join([bundle.name, *cells])} |")


def _row(
    bundle: Bundle, settings: Settings, files: Sequence[bytes], on_device: Sequence[Any], decode_limit: float
) -> list[str]:
    chain = Chain(bundle, settings)
    batch = min(settings.batch, bundle.manifest.max_batch)
    model = model_alone(chain, on_device, batch)
    runs = ", ".join([chain.executor, *sorted(set(chain.precisions.values()))])
    del chain
    with Engine(bundle, settings=settings) as engine:
        found = probabilities(engine, files[:COMPARED])
        rate, shares = engine_path(engine, files)
    with Engine(bundle, settings=HOST) as engine:
        expected = probabilities(engine, files[:COMPARED])
    apart = max(abs(one - two) for one, two in zip(found, expected, strict=True))
    parts = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    ratio = rate / min(decode_limit, model)
    return [runs, str(batch), f"{model:.0f}", f"{rate:.0f}", f"{ratio:.2f}", f"{apart:.4f}", parts]


def probabilities(engine: Engine, files: Sequence[bytes]) -> list[float]:
    outcomes = engine.score(list(files))
    found = [outcome.probability for outcome in outcomes if isinstance(outcome, Verdict)]
    assert len(found) == len(files), "an image was refused"
    return found
