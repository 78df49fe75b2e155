import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict, from_dict

SCHEMA: dict[str, Any] = json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

verdicts = st.builds(
    Verdict,
    id=st.text(),
    label=st.sampled_from(Label),
    probability=st.floats(0, 1),
    scores=st.dictionaries(st.text(min_size=1), st.floats(-50, 50), min_size=1),
    bundle=st.text(),
    version=st.text(),
    evidence=st.dictionaries(st.text(), st.lists(st.integers())),
    seconds=st.dictionaries(st.text(), st.floats(0, 100)),
    doubts=st.lists(st.sampled_from(Doubt), unique=True).map(tuple),
)
rejections = st.builds(
    Rejection,
    id=st.text(),
    reason=st.sampled_from(Reason),
    detail=st.text(min_size=1),
    about=st.dictionaries(st.text(), st.integers()),
)


@given(verdicts | rejections)
def test_the_json_form_keeps_everything_and_follows_its_schema(outcome: Outcome) -> None:
    record = json.loads(json.dumps(outcome.to_dict()))
    VALIDATOR.validate(record)
    assert from_dict(record) == outcome


@pytest.mark.parametrize(
    "outcome",
    [
        Verdict(
            "1", Label.AUTHENTIC, 0.1, {"plain": -2.0}, "bundle", "1.0.0", {"box": [1, 2]}, {"queue": 0.1}
        ),
        Rejection("1", Reason.EMPTY, "nothing", {"bytes": 0}),
    ],
)
def test_the_schema_refuses_an_outcome_that_lacks_a_field(outcome: Outcome) -> None:
    for field in outcome.to_dict():
        record = outcome.to_dict()
        del record[field]
        assert not VALIDATOR.is_valid(record), field


def test_the_schema_knows_every_label_and_reason() -> None:
    kinds = SCHEMA["$defs"]
    assert kinds["verdict"]["properties"]["label"]["enum"] == [label.value for label in Label]
    assert kinds["rejection"]["properties"]["rejected"]["enum"] == [reason.value for reason in Reason]
    assert kinds["verdict"]["properties"]["doubts"]["items"]["enum"] == [doubt.value for doubt in Doubt]


def test_a_record_without_doubts_is_one_of_an_older_assay() -> None:
    record = Verdict("1", Label.UNCERTAIN, 0.5, {"plain": 0.0}, "bundle", "1.0.0").to_dict()
    del record["doubts"]
    assert from_dict(record) == Verdict("1", Label.UNCERTAIN, 0.5, {"plain": 0.0}, "bundle", "1.0.0")
