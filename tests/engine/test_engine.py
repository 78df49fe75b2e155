"""What `Engine.score` takes, and what it says to anything else."""

import array
import io
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.images import encode, photograph

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings

DATA = encode(photograph(48, 64))


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        yield engine


@pytest.mark.parametrize(
    "data",
    [DATA, bytearray(DATA), memoryview(DATA), memoryview(bytearray(DATA)), io.BytesIO(DATA).getbuffer()],
)
def test_bytes_of_any_kind_are_an_image(engine: Engine, data: bytes) -> None:
    outcome = engine.score(data)
    assert isinstance(outcome, Verdict)
    assert outcome.probability == engine.score([DATA])[0].to_dict()["probability"]


def test_several_are_answered_in_order(engine: Engine) -> None:
    mixed: list[Any] = [DATA, bytearray(b"no image"), memoryview(DATA)]
    for several in (mixed, tuple(mixed), iter(mixed), (one for one in mixed)):
        outcomes = engine.score(several)
        assert [outcome.id for outcome in outcomes] == ["0", "1", "2"]
        assert [isinstance(outcome, Verdict) for outcome in outcomes] == [True, False, True]
    assert engine.score([]) == []


def test_what_was_handed_over_may_be_changed_afterwards(engine: Engine) -> None:
    data = bytearray(DATA)
    outcome = engine.score(memoryview(data))
    data.clear()  # a view that were still held would forbid it
    assert isinstance(outcome, Verdict)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("photo.jpg", "read the file first"),
        (Path("photo.jpg"), "read the file first"),
        (["photo.jpg"], "image 0 is of type str"),
        ([DATA, Path("photo.jpg")], "image 1 is of type"),
        ([DATA, None], "image 1 is of type NoneType"),
        ([[DATA]], "image 0 is of type list"),
        (np.frombuffer(DATA, np.uint8), "decoded pixels are not scored"),
        ([np.zeros((4, 4, 3), np.uint8)], "decoded pixels are not scored"),
        (io.BytesIO(DATA), "file.read()"),
        ([io.BytesIO(DATA)], "file.read()"),
        (array.array("B", DATA), "of type array"),
        (mmap.mmap(-1, 10), "file.read()"),
        ({"a": DATA}, "of type dict"),
        (None, "of type NoneType"),
        (5, "of type int"),
    ],
)
def test_anything_else_is_a_type_error_and_nothing_is_scored(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, data: Any, says: str
) -> None:
    monkeypatch.setattr(engine.core, "submit", lambda *_, **__: pytest.fail("something was scored"))
    with pytest.raises(TypeError) as error:
        engine.score(data)
    assert says in str(error.value)
    assert "bytes, bytearray or memoryview" in str(error.value)
