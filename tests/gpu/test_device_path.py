"""From bytes to verdicts on a GPU: as on the CPU, and no pixels come back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.images import encode, photograph

from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.outcome import Rejection, Verdict
from assay.engine.settings import Limits, Settings
from assay.engine.worker.scorer import Job, Scorer
from assay.trainers.export.bundle import export_bundle
from assay.trainers.kinds.plain.fit import manifest_template
from assay.trainers.kinds.plain.network import Plain

pytestmark = pytest.mark.gpu
ON_GPU = Settings(devices=(0,), executor="torch", precision="fp32")
SMALL_RESULTS = 4096
"""Bytes an image that may come to the host: logits and evidence."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("bundle")
    return export_bundle(
        {"classify": Plain("mobilenet_v2").eval()}, manifest_template(224), folder, programs=True
    )


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [encode(photograph(300 + 10 * seed, 400, seed)) for seed in range(16)]


@pytest.mark.parametrize("decoder", ["turbo", "dali", "nvimgcodec"])
def test_no_pixels_come_back_to_the_host(
    bundle: Bundle, files: list[bytes], decoder: str, tmp_path: Path
) -> None:
    """Counted by CUPTI over the whole process, whichever library copies."""
    scorer = Scorer([bundle], ON_GPU.model_copy(update={"decoder": decoder}))
    jobs = [Job(data, admit(data, Limits(), 1)) for data in files]
    scorer.score(bundle.name, jobs)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        outcomes = scorer.score(bundle.name, jobs)
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    profile.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    copies = [event for event in events if str(event.get("name", "")).startswith("Memcpy")]
    assert any("HtoD" in event["name"] for event in copies), "copies were not seen at all"
    back = sum(event["args"]["bytes"] for event in copies if "DtoH" in event["name"])
    assert 0 < back <= SMALL_RESULTS * len(files)


def test_a_gpu_gives_the_verdicts_of_the_cpu(bundle: Bundle, files: list[bytes]) -> None:
    bad = files[0][: len(files[0]) // 2]
    data = [*files, bad] * 20  # several batches, so that decoding and computing overlap
    found = {}
    for name, settings in (
        ("cpu", Settings(precision="fp32")),
        ("gpu", ON_GPU.model_copy(update={"batch": 16})),
    ):
        with Engine(bundle, settings=settings) as engine:
            found[name] = engine.score(data)
    for one, two in zip(found["cpu"], found["gpu"], strict=True):
        assert type(one) is type(two)
        if isinstance(one, Rejection):
            assert isinstance(two, Rejection)
            assert one.reason is two.reason
        else:
            assert isinstance(one, Verdict)
            assert isinstance(two, Verdict)
            np.testing.assert_allclose(two.probability, one.probability, atol=0.01)
