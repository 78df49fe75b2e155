"""Provenance beside a verdict: it never moves a score, and a label only where an operator said so."""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from support.c2pa import action, authority, signed
from support.images import encode, photograph
from support.metadata import (
    INFOTEXT,
    exif_block,
    packet,
    source_packet,
    text_chunk,
    with_chunks,
    with_exif,
    with_xmp,
)

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.explain import explain
from assay.engine.outcome import Label, Rejection, Verdict, from_dict
from assay.engine.provenance import in_words
from assay.engine.report.html import html_report
from assay.engine.settings import Settings
from assay.engine.wire.convert import from_message, to_message

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
)
DARK = photograph() // 8
"""Authentic to the test's bundle, whose logit is the brightness."""
PLAIN = encode(DARK, "PNG")
SAID = {
    "parameters": with_chunks(text_chunk("parameters", INFOTEXT), pixels=DARK),
    "iptc": with_xmp(source_packet("trainedAlgorithmicMedia"), "PNG", DARK),
    "part": with_xmp(source_packet("compositeWithTrainedAlgorithmicMedia"), "PNG", DARK),
    "camera": with_exif(exif_block({0x010F: "Canon", 0x0110: "R5"}), "PNG", DARK),
    "remote": with_xmp(packet(' dcterms:provenance="https://example.com/x.c2pa"/>'), "PNG", DARK),
    "hostile": with_chunks(text_chunk("Software", "\0<b>\x1b[31m\u202e\ufffd" * 99), pixels=DARK),
}


@pytest.fixture(scope="module")
def engines(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Engine]]:
    """An engine for each value of the setting; the one that acts has a trust list."""
    trusted = tmp_path_factory.mktemp("trust") / "trust.pem"
    trusted.write_text(authority().root)
    listed: dict[str, Any] = {"trust_list": trusted} if find_spec("c2pa") else {}
    made = {
        "off": Engine(bundle, settings=Settings(workers=0, provenance="off")),
        "report": Engine(bundle, settings=Settings(workers=0)),
        "act": Engine(bundle, settings=Settings(workers=0, provenance="act", **listed)),
    }
    yield made
    for engine in made.values():
        engine.close()


def verdict_of(engine: Engine, data: bytes) -> Verdict:
    outcome = engine.score(data)
    assert isinstance(outcome, Verdict)
    return outcome


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_moves_nothing_and_passes_everywhere(engines: Mapping[str, Engine], name: str) -> None:
    plain, told = verdict_of(engines["report"], PLAIN), verdict_of(engines["report"], SAID[name])
    assert plain.label is told.label is Label.AUTHENTIC
    assert (plain.probability, plain.scores) == (told.probability, told.scores)
    assert "provenance" not in plain.evidence
    assert {key: value for key, value in told.evidence.items() if key != "provenance"} == plain.evidence
    assert told.evidence["provenance"]
    record = json.loads(json.dumps(told.to_dict()))
    VALIDATOR.validate(record)
    assert from_dict(record) == told
    assert from_message(to_message(told)) == told
    off = verdict_of(engines["off"], SAID[name])
    assert off.evidence == plain.evidence


@pytest.mark.parametrize("name", SAID)
def test_an_operator_may_act_on_a_declared_generator_alone(engines: Mapping[str, Engine], name: str) -> None:
    told, acted = (verdict_of(engines[mode], SAID[name]) for mode in ("report", "act"))
    assert (told.probability, told.scores) == (acted.probability, acted.scores)
    VALIDATOR.validate(json.loads(json.dumps(acted.to_dict())))
    if name in ("parameters", "iptc"):
        assert acted.label is Label.SYNTHETIC
        because = {"parameters": "png parameters", "iptc": "xmp DigitalSourceType"}[name]
        assert acted.evidence["provenance"]["label"] == {"was": "authentic", "because": because}
        assert f"the label was set by {because}" in in_words(acted.evidence)
    else:
        assert acted.label is Label.AUTHENTIC
        assert acted.evidence == told.evidence


def test_a_camera_that_is_declared_makes_nothing_authentic(engines: Mapping[str, Engine]) -> None:
    bright = with_exif(exif_block({0x010F: "Canon", 0x0110: "R5"}), "PNG", 255 - DARK)
    assert verdict_of(engines["act"], bright).label is Label.SYNTHETIC


def test_a_manifest_acts_while_its_signature_holds(engines: Mapping[str, Engine]) -> None:
    pytest.importorskip("c2pa")
    data = signed(PLAIN, "image/png", action("created", "trainedAlgorithmicMedia"))
    acted = verdict_of(engines["act"], data)
    assert acted.label is Label.SYNTHETIC
    VALIDATOR.validate(json.loads(json.dumps(acted.to_dict())))
    assert acted.evidence["provenance"]["c2pa"] == {
        "signature": "valid",
        "trust": "listed",
        "signer": "A Camera, Tests",
        "generator": "a test",
        "source_types": ["trainedAlgorithmicMedia"],
        "declares": "synthetic",
    }
    words = in_words(acted.evidence)
    assert "C2PA signature valid by A Camera, Tests, signer on the trust list" in words
    other = encode(DARK + 1, "PNG")  # the manifest of one image, on another
    moved = other[:33] + data[33 : data.index(b"IDAT") - 4] + other[33:]
    broken = verdict_of(engines["act"], moved)
    assert broken.label is Label.AUTHENTIC
    assert broken.evidence["provenance"]["c2pa"]["signature"] == "invalid"
    assert "declares" not in broken.evidence["provenance"]


def test_workers_answer_as_the_inline_one_does(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    data = signed(PLAIN, "image/png", action("created", "trainedAlgorithmicMedia"))
    images = [PLAIN, data, *SAID.values(), data[: len(data) // 2], b"no image"]
    answers = []
    for workers in (0, 1):
        with Engine(bundle, settings=Settings(workers=workers, provenance="act")) as engine:
            answers.append(engine.score(images))
    assert [type(one) for one in answers[0][-2:]] == [Rejection, Rejection]
    for one, other in zip(*answers, strict=True):
        assert {**one.to_dict(), "seconds": 0} == {**other.to_dict(), "seconds": 0}
    with pytest.raises(SetupError, match="trust list"):
        Engine(bundle, settings=Settings(workers=1, trust_list=tmp_path / "none.pem")).close()


def test_people_read_it_in_the_report_and_the_explanation(bundle: Bundle, tmp_path: Path) -> None:
    settings = Settings(workers=0, provenance="act")
    verdict, page = explain("a.png", SAID["parameters"], bundle, settings)
    assert verdict.label is Label.SYNTHETIC
    assert isinstance(page, Image.Image)
    hostile, _ = explain("a.png", SAID["hostile"], bundle, settings)
    image = tmp_path / "a.png"
    image.write_bytes(PLAIN)
    out = tmp_path / "report.html"
    with out.open("w") as stream, html_report(stream) as write:
        write(image, verdict)
        write(image, hostile)
    text = out.read_text()
    assert "says of itself: made by a generator (png parameters); the label was set by png parameters" in text
    assert "<b>\x1b" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_words_of_what_another_version_may_send() -> None:
    assert in_words({}) == in_words({"provenance": None}) == in_words({"provenance": {"claims": []}}) == ""
    newer = {"provenance": {"declares": "dreamt", "by": "a\x07bell\u202e", "c2pa": {"signature": "blue"}}}
    assert in_words(newer) == "says of itself: dreamt (a\ufffdbell\ufffd); C2PA signature blue"
