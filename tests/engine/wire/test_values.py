"""The bytes of a Struct, against protobuf's own."""

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.wire.values import encoded

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_encoded_is_what_protobuf_makes_of_it(values: dict[str, object]) -> None:
    expected = Struct()
    expected.update(values)
    assert Struct.FromString(encoded(values)) == expected


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 1 << 21])
def test_lengths_of_every_size_are_written(size: int) -> None:
    text = "x" * size
    assert dict(Struct.FromString(encoded({text: text}))) == {text: text}


def test_a_tuple_is_a_list() -> None:
    assert encoded({"box": (1, 2.5)}) == encoded({"box": [1, 2.5]})


@pytest.mark.parametrize("value", [b"bytes", {1}, object()])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=f"{type(value).__name__} is not what a Struct can hold"):
        encoded({"it": [value]})
