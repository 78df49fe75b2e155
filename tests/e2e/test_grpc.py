"""gRPC from the wire to real workers: every image gets the right kind of answer, whatever it is."""

import io
import itertools
import json
import os
import random
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bundles import plain_bundle
from support.images import encode, evil, good, photograph
from support.server import Server

from assay.engine.client import Client, Unavailable
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict

SMALLEST_SIDE = 8
ASSAY = ("-c", "from assay.engine.commands.app import main; main()")


def assay_serve(*arguments: str) -> Server:
    return Server(*ASSAY, "serve", *arguments)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"), min_side=SMALLEST_SIDE)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    with assay_serve("--bundle", str(bundle), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0") as server:
        yield server
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in server.err


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(f"127.0.0.1:{server.grpc}") as client:
        yield client


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", "not a photo")
    return buffer.getvalue()


def is_right(name: str, outcome: Outcome) -> bool:
    """Whether `outcome` is what the corpus says about the image of that name."""
    if name in evil():
        return isinstance(outcome, Rejection) and outcome.reason in evil()[name].reasons
    if min(good()[name].pixels.shape[:2]) < SMALLEST_SIDE:
        return isinstance(outcome, Rejection) and outcome.reason is Reason.TOO_SMALL
    return isinstance(outcome, Verdict)


def corpus() -> dict[str, bytes]:
    images = {name: image.data for name, image in good().items()}
    return images | {name: image.data for name, image in evil().items()}


def test_every_image_of_the_corpus_one_by_one(client: Client) -> None:
    wrong = {
        name: outcome
        for name, data in corpus().items()
        if not is_right(name, outcome := client.score(data, name))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"good morning\n" * 50, "unsupported_format"),
        (a_zip(), "unsupported_format"),
        (encode(photograph(400, 600))[:5000], "truncated"),
        (b"\xff\xd8\xff" + b"x" * (30 << 20), "too_many_bytes"),
    ],
    ids=["empty", "text", "zip", "truncated", "30 MB"],
)
def test_bad_input_has_its_reason(client: Client, data: bytes, reason: str) -> None:
    alone = client.score(data, "a")
    [streamed] = client.score_many([("a", data)])
    assert isinstance(alone, Rejection)
    assert alone.reason == reason
    assert streamed == alone


@pytest.mark.parametrize("per_message", [1, 8])
def test_a_thousand_images_with_bad_ones_among_them_get_one_answer_each(
    client: Client, per_message: int
) -> None:
    # The corpus holds images that take seconds to refuse; a thousand are drawn from the quick ones.
    images = {name: data for name, data in corpus().items() if len(data) < 200_000}
    chance = random.Random(per_message)
    names = {str(n): chance.choice(sorted(images)) for n in range(1000)}
    outcomes = list(
        client.score_many(((id, images[name]) for id, name in names.items()), per_message=per_message)
    )
    assert sorted(outcome.id for outcome in outcomes) == sorted(names)
    assert [names[each.id] for each in outcomes if not is_right(names[each.id], each)] == []


def test_a_streamed_verdict_is_the_single_one(client: Client) -> None:
    data = encode(photograph(300, 200))
    alone = client.score(data, "a")
    [streamed] = client.score_many([("a", data)])
    assert isinstance(alone, Verdict)
    assert isinstance(streamed, Verdict)
    assert streamed.probability == pytest.approx(alone.probability, abs=1e-5)
    assert (alone.bundle, alone.version) == ("brightness", "1.0.0")
    assert set(alone.seconds) >= {"decode"}
    assert all(seconds >= 0 for seconds in alone.seconds.values())


def budget_used(server: Server) -> float:
    line = next(
        line for line in server.get("/metrics")[1].splitlines() if line.startswith("assay_budget_used_bytes ")
    )
    return float(line.split()[1])


def test_a_client_that_dies_mid_stream_leaves_no_bytes_in_the_budget(server: Server) -> None:
    large = encode(photograph(1500, 2000))
    for _ in range(3):
        with Client(f"127.0.0.1:{server.grpc}") as client:
            outcomes = client.score_many((str(n), large) for n in range(1000))
            next(outcomes)
    end = time.monotonic() + 20
    while budget_used(server):
        assert time.monotonic() < end, f"{budget_used(server)} bytes are still taken"
        time.sleep(0.1)


def test_a_worker_that_is_killed_costs_no_outcome(client: Client, server: Server) -> None:
    """Its items are tried again by another worker, and the stream sees nothing of it."""

    def children() -> list[int]:
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == server.process.pid:
                found.append(int(status.parent.name))
        return found

    data = encode(photograph(300, 200))
    outcomes = []
    for outcome in client.score_many((str(n), data) for n in range(300)):
        outcomes.append(outcome)
        if len(outcomes) == 50:
            os.kill(children()[0], signal.SIGKILL)
    assert sorted(int(outcome.id) for outcome in outcomes) == list(range(300))
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)


@pytest.mark.parametrize("how", ["one by one", "in a stream"])
def test_a_termination_under_load_answers_what_was_received(bundle: Path, how: str) -> None:
    data = encode(photograph(300, 200))
    endless = ((str(n), data) for n in itertools.count())
    outcomes = []
    with (
        assay_serve("--bundle", str(bundle), "--grpc", "127.0.0.1:0") as server,
        Client(f"127.0.0.1:{server.grpc}") as client,
    ):
        answers = (
            client.score_many(endless)
            if how == "in a stream"
            else (client.score(data, id) for id, data in endless)
        )

        def ask() -> None:
            for outcome in answers:
                outcomes.append(outcome)
                if len(outcomes) == 100:
                    server.signal()

        with pytest.raises(Unavailable):
            ask()
        assert server.wait() == 0
    assert len({outcome.id for outcome in outcomes}) == len(outcomes) >= 100
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)


@pytest.mark.parametrize("door", ["--grpc", "--http"])
def test_a_taken_port_is_one_sentence_and_exit_code_2(server: Server, bundle: Path, door: str) -> None:
    others = [] if door == "--grpc" else ["--grpc", "127.0.0.1:0"]
    start = time.monotonic()
    with assay_serve("--bundle", str(bundle), door, f"127.0.0.1:{server.grpc}", *others) as second:
        assert second.wait() == 2
    assert "Address already in use" in second.err
    assert "Traceback" not in second.err
    assert time.monotonic() - start < 10


def test_the_outcome_is_the_json_form(client: Client) -> None:
    row = client.score(encode(photograph(64, 64)), "a").to_dict()
    assert set(json.loads(json.dumps(row))) == {
        "id", "label", "probability", "scores", "bundle", "version", "evidence", "seconds", "doubts",
    }  # fmt: skip
