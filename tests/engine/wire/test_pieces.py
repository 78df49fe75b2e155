"""A message in pieces is the message, whatever is in it; what is no message is refused by a sentence."""

import contextlib
from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.pieces import LARGE, MAX_MESSAGE, MOST_FIELDS, InvalidMessage, Pieces, parse

images = st.builds(
    pb.Image,
    id=st.text(st.characters(codec="utf-8"), max_size=5),
    data=st.binary(max_size=300),
    bundle=st.sampled_from(["", "second"]),
    timeout=st.none() | st.timedeltas(timedelta(0), timedelta(days=1)),
)
# What a newer client could add: a varint, 8 bytes, bytes, 4 bytes, and a key that is longer than it need be.
unknown = st.sampled_from(
    [b"\x78\xff\x01", b"\x79" + b"8" * 8, b"\x7a\x03abc", b"\x7d" + b"4" * 4, b"\x8a\x00\x00"]
)


def field(image: pb.Image) -> bytes:
    return pb.ScoreStreamRequest(images=[image]).SerializeToString()


def taken(message: bytes, most: int) -> list[bytes]:
    pieces = Pieces(message, most)
    parts = []
    while pieces:
        parts.append(pieces.take())
    return parts


@given(st.lists(images.map(field) | unknown), st.integers(1, 5))
def test_the_pieces_of_a_message_are_the_message(fields: list[bytes], most: int) -> None:
    message = b"".join(fields)
    parts = taken(message, most)
    assert b"".join(parts) == message
    assert len(parts) == -(-len(fields) // most)
    whole = pb.ScoreStreamRequest.FromString(message)
    assert [image for part in parts for image in parse(pb.ScoreStreamRequest, part).images] == list(
        whole.images
    )


@given(st.binary(max_size=60) | st.lists(images.map(field) | unknown | st.binary(max_size=4)).map(b"".join))
def test_what_is_taken_of_noise_is_what_protobuf_reads(message: bytes) -> None:
    whole = parts = None
    with contextlib.suppress(DecodeError):
        whole = list(pb.ScoreStreamRequest.FromString(message).images)
    with contextlib.suppress(InvalidMessage):
        parts = [image for part in taken(message, 2) for image in parse(pb.ScoreStreamRequest, part).images]
    if parts is not None:
        assert parts == whole
    elif whole is not None:  # only a group is read there and refused here
        assert any(byte & 7 in (3, 4) for byte in message)


def test_a_message_of_few_images_is_not_copied() -> None:
    message = field(pb.Image(data=b"x" * 1000)) * 3
    assert taken(message, 3) == [message]
    assert Pieces(message, 3).take() is message


def test_of_16_million_images_only_the_first_are_looked_at() -> None:
    pieces = Pieces(b"\x0a\x00" * (MAX_MESSAGE // 2 - 1) + b"\xff", 64)
    assert pieces.take() == b"\x0a\x00" * 64
    assert pieces


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05abc", b"\xff" * 11, b"\x79abc", b"\x7b\x7c", b"\x0f"])
def test_a_field_that_does_not_end_is_named_and_ends_the_message(message: bytes) -> None:
    pieces = Pieces(b"\x0a\x00" + message, 1)
    assert pieces.take() == b"\x0a\x00"
    with pytest.raises(InvalidMessage, match="the field at byte 2 of"):
        pieces.take()
    assert not pieces


@pytest.mark.parametrize("repeated", [b"\x78\x01", b"\x0a\x00", b"\x22\x02\x78\x01"])
@pytest.mark.parametrize("kind", [pb.ScoreRequest, pb.ScoreStreamRequest])
def test_an_image_of_very_many_fields_is_refused(kind, repeated: bytes) -> None:  # type: ignore[no-untyped-def]
    image = repeated * (LARGE // len(repeated))
    length = b"".join(bytes([len(image) >> shift & 0x7F | 0x80]) for shift in (0, 7)) + bytes(
        [len(image) >> 14]
    )
    with pytest.raises(InvalidMessage, match=f"more than {MOST_FIELDS} fields"):
        parse(kind, b"\x0a" + length + image)
    with pytest.raises(InvalidMessage, match=f"more than {MOST_FIELDS} fields"):
        parse(kind, repeated * LARGE)
    assert parse(kind, field(pb.Image(id="a", data=b"x" * LARGE)))


def test_bytes_that_are_no_message_are_named() -> None:
    with pytest.raises(InvalidMessage, match=r"3 bytes were sent that are no assay\.v1\.ScoreRequest"):
        parse(pb.ScoreRequest, b"\xff\xff\xff")
