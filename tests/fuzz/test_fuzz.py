"""Damaged files of every format, over gRPC, through a server as people run it.

`make fuzz` runs it for FUZZ_SECONDS (300). FUZZ_SEED repeats a run. What fails is written to build/fuzz; the
smallest form of it belongs into `regressions`, which `make test` runs.
"""

import hashlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.fuzzed import Fuzzed
from support.images import good
from support.mutations import mutated, seeds

from assay.engine.outcome import Reason

SECONDS = float(os.environ.get("FUZZ_SECONDS", "300"))
REGRESSIONS = Path(__file__).parent / "regressions"
FOUND = Path("build/fuzz")
PORTION, PORTIONS = 128, 16


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    fuzzed = Fuzzed()
    yield fuzzed
    fuzzed.close()


def test_regressions(fuzzed: Fuzzed) -> None:
    files = {path.name: path.read_bytes() for path in sorted(REGRESSIONS.iterdir())}
    draw = random.Random(1)
    files |= {f"drawn {number}": mutated(draw) for number in range(200)}
    assert fuzzed.check(files) == {}


def test_what_does_not_hold_is_found(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks themselves: of a refusal, of memory, of a neighbour."""
    files = {"whole": good()["jpeg 4:2:0"].data, "cut": good()["jpeg 4:2:0"].data[:500]}
    with monkeypatch.context() as patch:
        patch.setattr("support.fuzzed.WRONG", {Reason.TRUNCATED})
        assert "truncated" in fuzzed.check(files).pop("cut")
    with monkeypatch.context() as patch:
        patch.setattr("support.fuzzed.MARGIN", -(1 << 30))
        assert "were reserved" in fuzzed.check(files)["whole"]
    with monkeypatch.context() as patch:
        patch.setattr(fuzzed, "good", replace(fuzzed.good, scores={"plain": 0.0}))
        assert "the good image" in fuzzed.check(files)[""]
    assert fuzzed.check(files) == {}


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 300)
def test_whatever_is_sent(fuzzed: Fuzzed) -> None:
    seed = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
    draw = random.Random(seed)
    end, sent = time.monotonic() + SECONDS, 0
    wrong: dict[str, str] = {}
    assert not fuzzed.check({f"seed {number}": data for number, data in enumerate(seeds())})
    while time.monotonic() < end and not wrong:
        drawn = [mutated(draw) for _ in range(PORTIONS * PORTION)]
        drawn.sort(key=fuzzed.reserved)  # so that the most of a portion is not much more than each may take
        for portion in batched(drawn, PORTION):
            files = {hashlib.sha256(data).hexdigest()[:16]: data for data in portion}
            wrong = fuzzed.check(files)
            sent += len(files)
            if wrong:
                _write(files, wrong)
                break
    print(f"\n{sent} files of seed {seed}: {dict(fuzzed.outcomes.most_common())}")
    assert wrong == {}, f"the files lie in {FOUND}"


def _write(files: dict[str, bytes], wrong: dict[str, str]) -> None:
    FOUND.mkdir(parents=True, exist_ok=True)
    for name in files if "" in wrong else wrong:
        (FOUND / name).write_bytes(files[name])


def batched(files: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (files[at : at + size] for at in range(0, len(files), size))
