"""The harness with servers that compute nothing: who fails is left out, the rest is measured, none stays."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fake_peer import FakePeer

from assay.bench.peers import harness as harness_module
from assay.bench.peers import load
from assay.bench.peers.client import PeerFault
from assay.bench.peers.harness import Harness, Plan, in_turn
from assay.bench.peers.processes import command_line, descendants
from assay.bench.peers.setup import Setup
from assay.bench.peers.table import Results

PLAN = Plan(rounds=2, outstanding=4, warm_up=0.02, full=0.05, half=0.05)
IMAGES = [bytes([number]) * 50 for number in range(5)]

Run = Callable[..., tuple[Results, list[str]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run peers, and see that no process of theirs is left."""
    monkeypatch.setattr(load, "PATIENCE", 60.0)

    def run(*peers: FakePeer, precision: str = "int8") -> tuple[Results, list[str]]:
        said: list[str] = []
        kept: list[int] = []
        before = descendants(os.getpid())
        harness = Harness(peers, tmp_path, IMAGES, PLAN, tmp_path, said.append)
        try:
            results = harness.run(precision, lambda results: kept.append(len(results.rounds[peers[0].name])))
        finally:
            assert not {command_line(pid) for pid in descendants(os.getpid()) - before}
            for peer in peers:
                assert not any(is_of(pid, peer) for pid in all_processes())
        assert kept == [1, 2]
        return results, said

    return run


def all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def is_of(pid: int, peer: FakePeer) -> bool:
    """Whether a process was started with what a server of `peer` was given, whoever its parent is now."""
    try:
        environment = (Path("/proc") / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return any(f'"folder": "{setup.folder}"'.encode() in environment for setup in peer.setups)


def test_servers_are_measured_side_by_side(run: Run) -> None:
    results, said = run(FakePeer("Ours"), FakePeer("One"), FakePeer("Other"))
    assert not said
    assert list(results.rounds) == ["Ours", "One", "Other"]
    assert results.differences == {"Ours": 0, "One": 0, "Other": 0}
    for name in results.rounds:
        for measured in results.of(name):
            assert measured.rate > 0
            assert measured.latencies
            assert min(measured.latencies) > 0.002  # what a server waits for each
            assert 0 <= measured.front <= measured.cpu
        assert len(results.of(name)) == PLAN.rounds


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("wrong", "gives a probability that differs by 0.5000, more than 0.002"),
        ("ends", "ended before it answered: no such option: --frobnicate"),
        ("refuses", "had no answer after 1 s ("),
        ("silent", "had no answer after 1 s (TimeoutError): it said nothing"),
    ],
)
def test_who_cannot_answer_is_left_out(run: Run, way: str, sentence: str) -> None:
    bad = FakePeer("Bad", way, patience=1.0 if way in ("refuses", "silent") else 60.0)
    results, said = run(FakePeer("Ours"), bad, FakePeer("Good"))
    assert len(said) == 1
    assert said[0].startswith(f"Bad in int8, after 0 rounds: {sentence}")
    assert len(results.of("Good")) == PLAN.rounds
    assert results.rounds["Bad"] == [None] * PLAN.rounds


def test_who_cannot_be_started_is_left_out(run: Run) -> None:
    class Unfit(FakePeer):
        def command(self, setup: Setup) -> list[str]:
            raise FileNotFoundError("no stub for this Python")

    results, said = run(FakePeer("Ours"), Unfit("Unfit"), FakePeer("Good"))
    assert said == ["Unfit in int8, after 0 rounds: no stub for this Python"]
    assert len(results.of("Good")) == PLAN.rounds


@pytest.mark.parametrize("way", ["dies", "lies"])
def test_who_fails_later_is_left_out_from_then_on(run: Run, way: str) -> None:
    bad = FakePeer("Bad", way, after=len(IMAGES) + 1)
    results, said = run(FakePeer("Ours"), bad, FakePeer("Good"))
    assert len(said) == 1
    assert said[0].startswith("Bad in int8, after 0 rounds: ")
    assert len(results.of("Good")) == PLAN.rounds
    assert not results.of("Bad")


@pytest.mark.parametrize(("way", "after"), [("ends", 0), ("dies", len(IMAGES) + 1)])
def test_nothing_is_compared_with_a_server_that_failed(run: Run, way: str, after: int) -> None:
    with pytest.raises(PeerFault, match=r"^Ours "):
        run(FakePeer("Ours", way, after), FakePeer("Good"))


def test_a_precision_that_a_peer_has_not_is_not_asked_of_it(run: Run) -> None:
    class WithoutInt8(FakePeer):
        precisions = ("fp32",)

    peer = WithoutInt8("Without")
    results, said = run(FakePeer("Ours"), peer)
    assert not said
    assert not peer.setups
    assert "Without" not in results.rounds


def test_at_their_best_servers_may_differ_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_module, "LOOSE", 0.6)
    results, said = run(FakePeer("Ours"), FakePeer("Rounds", "wrong"), precision="best")
    assert not said
    assert results.differences["Rounds"] == pytest.approx(0.5)


def test_an_answer_that_is_no_number_is_not_close_to_anything(run: Run) -> None:
    _, said = run(FakePeer("Ours"), FakePeer("Nan", "nan", after=2))
    assert said == ["Nan in int8, after 0 rounds: gives a probability that differs by nan, more than 0.002"]


@pytest.mark.parametrize("count", range(1, 7))
def test_turns(count: int) -> None:
    names = [str(number) for number in range(count)]
    orders = [in_turn(names, number) for number in range(2 * count)]
    assert all(sorted(order) == names for order in orders)
    for place in range(count):  # over all rounds each server has each place twice
        assert sorted(order[place] for order in orders) == sorted(2 * names)
