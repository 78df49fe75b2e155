"""The wire form: generated code is current, and outcomes cross it without loss."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
from assay.engine.wire import generate
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import from_message, to_message

text = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(text, json_values, max_size=4)
by_name = st.dictionaries(text, numbers, max_size=3)
doubts = st.lists(st.sampled_from(Doubt), unique=True).map(tuple)
verdicts = st.builds(
    Verdict, text, st.sampled_from(Label), st.floats(0, 1), by_name, text, text, json_objects, by_name, doubts
)
rejections = st.builds(Rejection, text, st.sampled_from(Reason), text, json_objects)


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    written = generate.generate(tmp_path)
    checked_in = {path.relative_to(generate.HERE) for path in generate.HERE.rglob("*_pb2*.py*")}
    assert {path for path in checked_in if path.suffix != ".pyc"} == set(written)
    for path in written:
        assert (generate.HERE / path).read_bytes() == (tmp_path / path).read_bytes(), (
            f"{path}: run `make proto`"
        )


def test_another_source_makes_other_code(tmp_path: Path) -> None:
    source = tmp_path / "proto" / "assay" / "v1" / "scoring.proto"
    source.parent.mkdir(parents=True)
    original = generate.SOURCES / "assay" / "v1" / "scoring.proto"
    source.write_text(original.read_text().replace("string detail = 2", "string detail = 9"))
    generate.generate(tmp_path / "out", tmp_path / "proto")
    module = "assay/v1/scoring_pb2.py"
    assert (tmp_path / "out" / module).read_bytes() != (generate.HERE / module).read_bytes()


@given(verdicts | rejections)
def test_outcomes_survive_the_wire(outcome: Outcome) -> None:
    received = pb.Outcome.FromString(to_message(outcome).SerializeToString())
    assert from_message(received) == outcome
    assert from_message(received).to_dict() == outcome.to_dict()


def test_whole_numbers_stay_whole() -> None:
    sent = Rejection("a", Reason.TOO_MANY_PIXELS, "large", {"width": 60000, "share": 0.5, "boxes": [[1, 2]]})
    about = from_message(to_message(sent)).about  # type: ignore[union-attr]
    assert about == sent.about
    assert isinstance(about["width"], int)
    assert isinstance(about["boxes"][0][1], int)


def test_infinite_scores_cross() -> None:
    sent = Verdict("a", Label.SYNTHETIC, 1.0, {"plain": math.inf}, "b", "1")
    assert from_message(to_message(sent)) == sent


@pytest.mark.parametrize(
    "message",
    [
        pb.Outcome(id="a"),
        pb.Outcome(id="a", verdict=pb.Verdict()),
        pb.Outcome(id="a", rejection=pb.Rejection(reason=99)),  # type: ignore[arg-type]
        pb.Outcome(id="a", verdict=pb.Verdict(label=pb.LABEL_UNCERTAIN, doubts=[99])),  # type: ignore[list-item]
    ],
    ids=["neither", "no label", "unknown reason", "unknown doubt"],
)
def test_what_a_newer_server_says_is_an_error_not_a_guess(message: pb.Outcome) -> None:
    with pytest.raises(ValueError, match=r"'a'.*newer"):
        from_message(message)
