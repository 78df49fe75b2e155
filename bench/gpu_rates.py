"""Images a second on a GPU: decoding alone, the model alone, the whole path, and plain torch beside them."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.decode import Encoded, make_decoder
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.outcome import Refused, Verdict
from assay.engine.settings import Limits, Settings
from assay.engine.worker.gpu import host_threads
from assay.engine.worker.scorer import Chain

DECODERS: tuple[Literal["turbo", "dali", "nvimgcodec"], ...] = ("turbo", "dali", "nvimgcodec")
ROUNDS = 3

Say = Callable[[str], None]


def encoded(files: Sequence[bytes]) -> list[Encoded]:
    return [(data, admit(data, Limits(), 1)) for data in files]


def best(run: Callable[[], int]) -> float:
    """Images a second, the median of rounds after one to warm up. `run` says how many images it took."""
    rates = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        count = run()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def decode_alone(files: Sequence[bytes], batch: int, say: Say) -> float:
    """A table of the decoders; returns images/s of the fastest."""
    import cupy

    images, rates = encoded(files), {}
    say(f"| decoder, batch {batch} | images/s |\n|---|--:|")
    for name in DECODERS:
        try:
            decoder = make_decoder(name, gpu=True, threads=host_threads(1))
        except SetupError as error:
            say(f"| {name} | {error} |")
            continue

        def run(decoder: Any = decoder) -> int:
            for start in range(0, len(images), batch):
                found = decoder.decode(images[start : start + batch])
                assert not any(isinstance(one, Refused) for one in found)
                cupy.cuda.get_current_stream().synchronize()
            return len(images)

        rates[name] = best(run)
        say(f"| {name} | {rates[name]:.0f} |")
    return max(rates.values())


def model_alone(chain: Chain, images: Sequence[Any], batch: int) -> float:
    """Images/s of views, kernels and graphs on pixels that lie on the device."""
    from assay.engine.detectors import Stopwatch

    def run() -> int:
        for start in range(0, len(images), batch):
            chain.detect(images[start : start + batch], Stopwatch())
        return len(images)

    return best(run)


def whole_path(bundle: Bundle, settings: Settings, files: Sequence[bytes]) -> tuple[float, dict[str, float]]:
    """`engine_path` of an engine that is started for it."""
    with Engine(bundle, settings=settings) as engine:
        return engine_path(engine, files)


def engine_path(engine: Engine, files: Sequence[bytes]) -> tuple[float, dict[str, float]]:
    """Images/s from bytes to verdicts through front and worker, and each stage's share of a worker's time."""
    seconds: dict[str, float] = {}

    def run() -> int:
        outcomes = engine.score(list(files))
        for outcome in outcomes:
            assert isinstance(outcome, Verdict)
            for stage, taken in outcome.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + taken
        return len(files)

    rate = best(run)
    seconds.pop("queue", None)
    total = sum(seconds.values())
    return rate, {stage: taken / total for stage, taken in seconds.items()}


def plain_torch(bundle: Bundle, files: Sequence[bytes], batch: int) -> float:
    """Images/s as one would write it first: Pillow, views on the host, the exported programs run eagerly."""
    import io

    import torch
    from PIL import Image

    from assay.engine.detectors import KINDS, Stopwatch

    def eager(file: Path) -> Callable[..., tuple[Any, ...]]:
        from torch.export.passes import move_to_device_pass

        module = move_to_device_pass(torch.export.load(file), "cuda").module()

        def call(*arrays: Any) -> tuple[Any, ...]:
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(np.ascontiguousarray(array)).cuda() for array in arrays))
            outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
            return tuple(output.cpu().numpy() for output in outputs)

        return call

    kind = KINDS[bundle.kind]
    graphs = {
        name: eager(bundle.path / spec.program.file)
        for name, spec in bundle.manifest.graphs.items()
        if spec.program
    }
    choices = kind.choices(bundle.manifest).items()
    graphs |= {name: graphs[choice.graph] for name, choice in choices if choice.graph in graphs}
    detect = kind.detector(bundle.manifest)

    def run() -> int:
        for start in range(0, len(files), batch):
            pixels = [
                np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                for data in files[start : start + batch]
            ]
            detect(pixels, graphs, Stopwatch())
        return len(files)

    return best(run)
