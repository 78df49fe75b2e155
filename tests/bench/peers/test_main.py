"""The command: what is not installed is named, and the page says what came of the rest."""

from pathlib import Path

import pytest
from support.fake_peer import FakePeer
from typer.testing import CliRunner

from assay.bench.peers import __main__ as command
from assay.bench.peers.harness import Plan
from assay.bench.peers.peer import Peer

PLAN = Plan(rounds=2, outstanding=4, warm_up=0.02, full=0.05, half=0.05)


def run(
    monkeypatch: pytest.MonkeyPatch, file: Path, peers: tuple[Peer, ...], *options: str
) -> tuple[int, str]:
    monkeypatch.setattr(command, "OURS", FakePeer("Assay"))
    monkeypatch.setattr(command, "PEERS", peers)
    monkeypatch.setattr(command, "PLAN", PLAN)
    result = CliRunner().invoke(command.app, [*options, "--output", str(file)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "results" / "peers.md"
    peers = (FakePeer("There"), FakePeer("Gone", missing="not installed: gone"), FakePeer("Wrong", "wrong"))
    code, output = run(monkeypatch, file, peers, "--rounds", "2", "--precisions", "fp32,int8")
    assert code == 0, output
    text = file.read_text("utf-8")
    assert text in output
    assert text.count("| Assay |") == text.count("| There |") == 2
    assert text.count("2 rounds.") == 2
    assert "- Gone is left out: not installed: gone" in text
    assert "- Wrong in fp32, after 0 rounds: gives a probability" in text
    assert "| Gone |" not in text
    assert "- Gone (" not in text


def test_some_of_the_peers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "peers.md"
    peers = (FakePeer("One"), FakePeer("The Other"))
    code, output = run(
        monkeypatch, file, peers, "--rounds", "1", "--precisions", "int8", "--peers", "the other"
    )
    assert code == 0, output
    text = file.read_text("utf-8")
    assert "| The Other |" in text
    assert "One" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--peers", "nobody"), "nobody: there are one"),
        (("--precisions", "fp8"), "fp8: there are fp32, int8, best"),
    ],
)
def test_what_there_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    code, output = run(monkeypatch, tmp_path / "x.md", (FakePeer("One"),), *options)
    assert code == 2
    assert said in " ".join(output.split()).replace("│ ", "")


def test_results_are_kept_when_the_first_server_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "peers.md"
    monkeypatch.setattr(command, "OURS", FakePeer("Assay", "ends"))
    monkeypatch.setattr(command, "PEERS", ())
    monkeypatch.setattr(command, "PLAN", PLAN)
    result = CliRunner().invoke(command.app, ["--precisions", "int8,fp32", "--output", str(file)])
    assert result.exit_code == 1
    assert file.read_text("utf-8").count("Assay ended before it answered") == 2


@pytest.mark.parametrize("peer", command.PEERS, ids=lambda peer: peer.name)
def test_real_peers_say_what_they_are(peer: Peer) -> None:
    assert peer.note
    assert peer.absent() is None or "not installed" in str(peer.absent())
