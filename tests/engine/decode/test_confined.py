import resource
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from support.images import encode, good, photograph

from assay.engine import ceiling as ceiling_module
from assay.engine.admission import Header, admit
from assay.engine.ceiling import ceiling, held
from assay.engine.decode import Decoded, Encoded, confined, make_decoder
from assay.engine.decode.confined import MARGIN, ConfinedDecoder, allowed
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import MIB, Limits

GREEDY, SMALL = b"greedy", b"small"
HEADER = Header("avif", 128, 128)


class Stub:
    """Writes every image into the same memory; a greedy one takes a gigabyte first."""

    def __init__(self, refuse: Callable[[MemoryError], Refused] | None = None) -> None:
        self._pixels = np.zeros((128, 128, 3), np.uint8)
        self._refuse = refuse
        self.batches: list[int] = []

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        self.batches.append(len(batch))
        return [self._one(data) for data, _ in batch]

    def _one(self, data: bytes | memoryview) -> Decoded:
        try:
            if data == GREEDY:
                np.empty(1 << 30, np.uint8)
        except MemoryError as error:
            if self._refuse is None:
                raise
            return self._refuse(error)
        self._pixels[:] = len(data) + len(self.batches)
        return self._pixels


@pytest.mark.parametrize("place", range(3))
def test_what_takes_more_than_was_reserved_is_refused_and_its_neighbours_are_not(place: int) -> None:
    stub, batch = Stub(), [(SMALL, HEADER)] * 2
    batch.insert(place, (GREEDY, HEADER))
    results = ConfinedDecoder(stub).decode(batch)
    assert stub.batches == [3, 1, 1, 1]
    refused = results.pop(place)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.UNDECODABLE
    assert "takes more memory than the 16 MiB that its 128x128 pixels allow" in refused.detail
    assert refused.about["limit"] == allowed(batch[place]) + MARGIN
    first, second = results
    assert not isinstance(first, Refused)
    assert not isinstance(second, Refused)
    assert first[0, 0, 0] != second[0, 0, 0]  # each has its own, though the decoder writes into one memory
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


def test_a_decoder_that_reports_it_itself_is_put_in_our_words() -> None:
    def refuse(error: MemoryError) -> Refused:
        return Refused(Reason.TRUNCATED, "The AVIF cannot be decoded without errors (Out of memory).")

    stub = Stub(refuse)
    greedy, small = ConfinedDecoder(stub).decode([(GREEDY, HEADER), (SMALL, HEADER)])
    assert isinstance(greedy, Refused)
    assert greedy.reason is Reason.UNDECODABLE
    assert "more memory than" in greedy.detail
    assert not isinstance(small, Refused)
    assert stub.batches == [2]


def test_without_memory_on_the_machine_no_image_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "grantable", lambda count: False)
    with pytest.raises(MemoryError, match="the machine has no"):
        ConfinedDecoder(Stub()).decode([(GREEDY, HEADER), (SMALL, HEADER)])


REAL = """
import sys
from assay.engine.admission import Header, admit
from assay.engine.decode import make_decoder
from assay.engine.decode.confined import ConfinedDecoder
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

data = sys.stdin.buffer.read()
header = admit(data, Limits(), 1)
lying = Header(header.format, header.width, header.height, header.components, header.scan)
decoder = ConfinedDecoder(make_decoder())
(refused,) = decoder.decode([(data, lying)])
assert isinstance(refused, Refused)
assert "more memory than" in refused.detail, refused.detail
assert not isinstance(decoder.decode([(data, header)])[0], Refused)
"""


def test_real_decoders_run_into_the_ceiling() -> None:
    """A progressive JPEG needs thrice what is reserved for one that says that it is not.

    In a process of its own: memory that the allocator kept of earlier decoding would be taken first.
    """
    data = encode(np.tile(photograph(), (25, 25, 1)), "JPEG", progressive=True, subsampling=0)
    done = subprocess.run([sys.executable, "-c", REAL], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_every_good_image_has_enough() -> None:
    decoder, free = ConfinedDecoder(make_decoder()), make_decoder()
    for name, sample in good().items():
        encoded = (sample.data, admit(sample.data, Limits(), 1))
        (pixels,), (expected,) = decoder.decode([encoded]), free.decode([encoded])
        assert not isinstance(pixels, Refused), name
        np.testing.assert_array_equal(pixels, expected)


def test_ceilings_lie_within_each_other() -> None:
    with ceiling(256 * MIB):
        outer = resource.getrlimit(resource.RLIMIT_DATA)[0]
        assert outer <= held() + 256 * MIB
        with ceiling(1 << 40):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == outer
        with pytest.raises(MemoryError), ceiling(MIB):
            np.empty(1 << 30, np.uint8)
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == outer


def test_what_is_grantable_is_asked_of_the_machine() -> None:
    with ceiling(64 * MIB):
        assert ceiling_module.grantable(MIB)
        assert not ceiling_module.grantable(1 << 30)


def test_words_about_metadata_are_not_taken_for_a_lack_of_memory() -> None:
    words = "The PNG cannot be decoded without errors (Too much memory used in text chunks)."
    refused = Refused(Reason.UNDECODABLE, words)
    (result,) = ConfinedDecoder(Stub(lambda error: refused)).decode([(GREEDY, HEADER)])
    assert result is refused
