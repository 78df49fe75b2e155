"""The demo as `make demo` runs it, and what it would say of a stream that lost or doubled an outcome."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.bench.demo.__main__ import of_generators, of_the_card, report
from assay.bench.demo.uploads import KINDS, Upload, uploads
from assay.engine import bundle as bundles
from assay.engine.admission import admit
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits


def test_the_uploads_are_what_they_are_said_to_be() -> None:
    sent = uploads()
    assert sent == uploads()
    assert len({upload.name for upload in sent}) == len(sent) > 250
    refused = {}
    for upload in sent:
        try:
            admit(upload.data, Limits(), 1)
        except Refused as refusal:
            refused[upload.name] = refusal.reason
    assert refused == {"notes.txt": Reason.UNSUPPORTED_FORMAT}
    assert {upload.kind for upload in sent} == {*KINDS.values(), "drawing", "no image"}


def test_a_lost_or_doubled_outcome_is_an_error() -> None:
    sent = [Upload("a", "photograph", b""), Upload("b", "photograph", b"")]
    assert report(sent, {"a": ["authentic"], "b": ["truncated"]}, 1.0) == 0
    assert report(sent, {"a": ["authentic"]}, 1.0) == 1
    assert report(sent, {"a": ["authentic"], "b": ["synthetic", "synthetic"]}, 1.0) == 1


def test_each_generators_label_is_told() -> None:
    sent = uploads()
    generated = [
        upload.name for upload in sent if upload.kind == KINDS["generated"] and "/" not in upload.name
    ]
    assert len(generated) == 12
    outcomes = {name: ["synthetic"] for name in generated} | {"generated-lens.jpg": ["authentic"]}
    title, authentic, synthetic = of_generators(sent, outcomes).splitlines()
    assert "only synthetic is right" in title
    assert authentic == "  authentic: lens"
    assert len(synthetic.split(", ")) == 11


def test_the_cards_figures_are_told() -> None:
    manifest = bundles.find(bundles.DEFAULT).manifest
    told = of_the_card(manifest)
    assert manifest.version in told
    assert f"{manifest.metrics['all']['fakes_synthetic']:.0%} of" in told


@pytest.mark.full
def test_the_demo_ends_by_itself_with_one_outcome_for_each_input(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "assay.bench.demo"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as demo:  # fmt: skip
        try:
            printed, _ = demo.communicate(timeout=280)
        except subprocess.TimeoutExpired:
            demo.send_signal(signal.SIGINT)  # so that it ends what it started
            demo.communicate(timeout=30)
            raise
    assert demo.returncode == 0, printed
    assert "Every input has exactly one outcome." in printed
