import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from assay.kernels import ViewRule

FORM = {
    "resize": "short_side",
    "size": 224,
    "crop": [[0, 0], [0.5, 0.5], [1, 1]],
    "filter": "bilinear",
    "antialias": True,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    view: ViewRule


def test_lists_become_tuples_and_defaults_stand() -> None:
    rule = ViewRule(**FORM)
    assert rule.crop == ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0))
    assert (rule.crops, rule.small, rule.channels) == (3, "enlarge", "rgb")
    assert rule.mean == (0.485, 0.456, 0.406)
    assert ViewRule(**{**FORM, "crop": "centre"}).crops == 1
    assert len({rule, ViewRule(**FORM)}) == 1


def test_a_manifest_holds_a_rule_and_gives_it_back() -> None:
    manifest = Manifest.model_validate_json(json.dumps({"view": FORM}))
    assert manifest.view == ViewRule(**FORM)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


WRONG = [
    ("resize", "long_side"),
    ("size", 0),
    ("size", 2.5),
    ("size", True),
    ("crop", "center"),
    ("crop", []),
    ("crop", [[0, 1.1]]),
    ("crop", [[-0.1, 0]]),
    ("crop", [[0, 0, 0]]),
    ("crop", [[0, float("nan")]]),
    ("crop", 5),
    ("filter", "bicubic"),
    ("antialias", 2),
    ("small", "pad"),
    ("channels", "grb"),
    ("mean", [0.5, 0.5]),
    ("mean", "abc"),
    ("mean", [0, 0, float("inf")]),
    ("std", [1, 0, 1]),
    ("std", [1, -1, 1]),
    ("std", None),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_names_the_field_that_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        ViewRule(**{**FORM, field: value})


@pytest.mark.parametrize(
    ("field", "value"), [*WRONG[:2], ("crop", [[0, 2]]), ("extra", 1), ("std", [0, 1, 1])]
)
def test_a_manifest_refuses_what_the_rule_refuses(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Manifest.model_validate({"view": {**FORM, field: value}})


sides = st.integers(1, 20_000)


@given(sides, sides, st.integers(1, 512), st.sampled_from(["short_side", "exact", "none"]), st.booleans())
def test_there_is_always_room_for_a_view(height: int, width: int, size: int, resize: str, wrap: bool) -> None:
    rule = ViewRule(**{**FORM, "resize": resize, "size": size, "small": "wrap" if wrap else "enlarge"})
    room = rule.room(height, width)
    assert min(room) >= size
    if resize == "exact":
        assert room == (size, size)
    elif resize == "short_side" or min(height, width) < size:
        assert min(room) == size
        assert max(room) == pytest.approx(size * max(height, width) / min(height, width), abs=1)
    else:
        assert room == (height, width)
