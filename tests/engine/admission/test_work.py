"""Reading a header costs the same few steps whatever the file holds, counted and not timed.

Counted are the lines of Python that run within admission, and the numbers that go through NumPy there:
nothing else of it grows with a file.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hostile
from support.images import good

from assay.engine.admission import admit, scans, tiff
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

MOST_LINES = 400_000
"""A line takes some 50 ns."""
PASSES = 12
"""Most operations of NumPy on a byte, all scanning together; each takes some 0.1 ns."""
MOST_VALUES = 1 << 20  # of tables, which have a bound of their own


class Work:
    """What one admission has done."""

    def __init__(self) -> None:
        self.lines = 0
        self.numbers = 0


class Counted(np.ndarray[Any, Any]):
    """An array that counts the elements of every operation that it takes part in."""

    work: Work | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.work = getattr(source, "work", None)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if self.work:
            self.work.numbers += self.size
        plain = [np.asarray(value) if isinstance(value, np.ndarray) else value for value in inputs]
        options.pop("out", None)
        found = getattr(function, method)(*plain, **options)
        if isinstance(found, np.ndarray):
            found = found.view(Counted)
            found.work = self.work
        return found


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()
    buffer = np.frombuffer

    def instrumented(*arguments: Any) -> Any:
        array = buffer(*arguments).view(Counted)
        array.work = work
        return array

    def count(frame: FrameType, event: str, _: Any) -> Any:
        if "admission" not in frame.f_code.co_filename:
            return None
        if event == "line":
            work.lines += 1
        return count

    before = sys.gettrace()
    with patch.context() as context:
        context.setattr(scans.np, "frombuffer", instrumented)
        sys.settrace(count)
        try:
            yield work
        finally:
            sys.settrace(before)


def work_of(data: bytes) -> Work:
    with pytest.MonkeyPatch.context() as patch, counted(patch) as work, suppress(Refused):
        admit(data, Limits(max_bytes=1 << 30), 64)
    return work


def check(work: Work, size: int) -> None:
    assert work.lines <= MOST_LINES
    assert work.numbers <= PASSES * size + MOST_VALUES


@pytest.mark.parametrize("name", hostile.SLOW)
def test_work_is_bounded_and_linear(name: str) -> None:
    size = 2_000_000
    check(work_of(hostile.SLOW[name](size)), size)


@pytest.mark.parametrize("name", hostile.SLOW)
def test_four_times_the_bytes_are_no_more_than_four_times_the_work(name: str) -> None:
    small, large = (work_of(hostile.SLOW[name](size)) for size in (200_000, 800_000))
    assert large.lines <= 5 * small.lines + 1000
    assert large.numbers <= 5 * small.numbers + (1 << 17)  # a window is looked through whole


def test_good_files_take_few_steps() -> None:
    for name, image in good().items():
        assert work_of(image.data).lines < 3000, name


TOKENS = [
    *(b"\xff", b"\0", b"\xff\xda", b"\xff\xd9", b"\xff\xfe\0\2", b"\xff\xc0", b"\xff\0"),
    *(b"\x21\xfe", b"\x01\x01", b"\x2c", b"ANMF\0\0\0\0", b"VP8L\0\0\0\0"),
    *(b"\0\0\0\x08free", b"\0\0\0\x10meta", b"\x12\0", b"\x0a\x06", hostile.SEQUENCE, b"\x32\0"),
    *(b"\x00\x01\x03\x00", b"\x11\x01\x03\x00\xff\xff\0\0\x08\0\0\0", b"\x08\0\0\0"),
]
HEADS: list[Callable[[int], bytes]] = [
    lambda size: b"\xff\xd8\xff",
    lambda size: hostile.JPEG_HEAD,
    lambda size: hostile.GIF_HEAD,
    lambda size: hostile.PNG_HEAD,
    lambda size: hostile.webp_head(size + 30),
    lambda size: hostile.FTYP,
    lambda size: hostile.FTYP + _meta(size),
    lambda size: b"II*\0\x08\0\0\0",
    lambda size: b"II*\0\x08\0\0\0\x00\x04",
    lambda size: b"MM\0*\0\0\0\x08",
]


def _meta(size: int) -> bytes:
    return size.to_bytes(4, "big") + b"meta\0\0\0\0"


@given(
    head=st.sampled_from(HEADS),
    units=st.lists(
        st.tuples(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)), min_size=1, max_size=4),
                  st.integers(1, 20_000)),
        min_size=1,
        max_size=4,
    ),
)  # fmt: skip
@settings(max_examples=150)
def test_no_repetition_of_anything_is_slow(
    head: Callable[[int], bytes], units: list[tuple[list[bytes], int]]
) -> None:
    body = b"".join(b"".join(tokens) * count for tokens, count in units)[:400_000]
    data = head(len(body)) + body
    check(work_of(data), len(data))


def test_a_file_of_nothing_but_segments_is_cheap() -> None:
    data = b"\xff\xd8\xff" + (b"\xff\xfe\x00\x02" + b"ANMF\0\0\0\0") * 574
    check(work_of(data), len(data))


@pytest.mark.parametrize("name", hostile.SLOW)
@pytest.mark.full
def test_twenty_megabytes_take_milliseconds(name: str) -> None:
    """Of the CPU, not of the clock; some 15 ms where nothing else runs."""
    data = hostile.SLOW[name](20_000_000)
    taken = []
    for _ in range(3):
        start = time.process_time()
        with suppress(Refused):
            admit(data, Limits(max_bytes=1 << 30), 64)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.25


def test_values_of_a_tiff_that_says_them_twice_are_read_once() -> None:
    data = hostile.tiff([(256, 3, 1000, 200)] * 1000, bytes(10_000))
    with pytest.MonkeyPatch.context() as patch, counted(patch) as work:
        assert len(tiff.values(data, 256)[256]) == 1000
    assert work.lines < 20_000
