"""Dead letters sent through again, on the real broker; and what is made of one, without it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kafka import DisorderedCore, Topics, producer, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka.answer import to_answer
from assay.engine.doors.kafka.letters import REPLAYED, REPLAYS, Letter, read_letter, to_replay
from assay.engine.doors.kafka.records import given_id
from assay.engine.doors.kafka.replay import Choice, Replay, Sums
from assay.engine.doors.kafka.settings import ReplaySettings
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason, Rejection

NAMES = st.sampled_from(
    [
        *("h", "assay.id", "assay.reason", "assay.offset", "assay.omitted", REPLAYED),
        *("ce_specversion", "ce_id", "ce_type", "ce_traceparent", "content-type"),
        *("assay.original.ce_id", "assay.original.assay.original.h"),
    ]
)
SOURCES = st.none() | st.just("/assay")
HEADERS = st.lists(st.tuples(NAMES | st.text(max_size=5), st.binary(max_size=5)), max_size=6)
BYTES = st.none() | st.binary(max_size=9)


def rejected(record: Any, limit: int = 1 << 20, **more: Any) -> Any:
    """The dead letter of a record."""
    outcome = Rejection("a", Reason.TRUNCATED, "it ends in row 3")
    sizes = {"partitions": {"o": 1, "r": 1}, "limits": {"o": limit, "r": limit}}
    answer = to_answer(record, outcome, output="o", rejects="r", **sizes, **more)
    return SimpleNamespace(
        topic="r",
        partition=0,
        offset=9,
        key=answer.key,
        value=answer.value,
        headers=answer.headers,
        timestamp=12,
    )


def record(**changed: Any) -> Any:
    fields = {"topic": "in", "partition": 5, "offset": 77, "key": b"k", "value": b"image", "headers": []}
    return SimpleNamespace(**{**fields, **changed})


def letter(of: Any) -> Letter:
    found = read_letter(of)
    assert found
    return found


@given(HEADERS, BYTES, BYTES, SOURCES)
def test_a_record_comes_back_as_it_was(
    headers: list[tuple[str, bytes]], key: bytes | None, value: bytes | None, source: str | None
) -> None:
    dead = letter(rejected(record(headers=headers, key=key, value=value), source=source))
    assert (dead.topic, dead.partition, dead.offset, dead.reason) == ("in", 5, 77, "truncated")
    assert dead.headers == headers
    again = to_replay(dead, dead.record, "in", 4, 1 << 20, "assay.id")
    assert again
    assert (again.topic, again.partition, again.key) == ("in", 1, key)
    assert again.value == (b"" if key is None and value is None else value)
    assert again.headers[: len(headers)] == headers
    named = [] if given_id(headers, "assay.id") else [("assay.id", b"in/5/77")]
    story, count = again.headers[len(headers) + len(named) :]
    assert again.headers[len(headers) : -2] == named
    assert count == (REPLAYS, b"1")
    assert json.loads(story[1]) == {
        "reason": "truncated",
        "detail": "it ends in row 3",
        "topic": "in",
        "partition": 5,
        "offset": 77,
        "rejected_at_ms": 12,
    }


@pytest.mark.parametrize("source", [None, "/assay"])
def test_each_replay_adds_to_the_story_and_counts(source: str | None) -> None:
    one = record(headers=[("trace", b"1")])
    for times in range(1, 5):
        dead = letter(rejected(one, source=source))
        again = to_replay(dead, dead.record, "in", 8, 1 << 20, "assay.id")
        assert again
        one = record(offset=77 + times, headers=again.headers)
        names = Counter(name for name, _ in again.headers)
        assert names == {"trace": 1, "assay.id": 1, REPLAYED: times, REPLAYS: 1}
        assert dict(again.headers)["assay.id"] == b"in/5/77"
        assert dict(again.headers)[REPLAYS] == b"%d" % times


@pytest.mark.parametrize("said", [b"-1", b"1_0", "²".encode(), b"9" * 5000, b"", None])
def test_a_count_that_is_no_number_begins_anew(said: bytes | None) -> None:
    dead = letter(rejected(record(headers=[(REPLAYS, said)])))
    again = to_replay(dead, dead.record, "in", 8, 1 << 20, "assay.id")
    assert again
    assert [value for name, value in again.headers if name == REPLAYS] == [b"1"]


@given(st.integers(0, 1200))
def test_a_story_without_room_is_told_short_or_not_sent(limit: int) -> None:
    dead = letter(rejected(record(value=bytes(500))))
    again = to_replay(dead, dead.record, "in", 8, limit, "assay.id")
    if again is None:
        assert limit < 800
        return
    assert again.size <= limit
    assert json.loads(dict(again.headers)[REPLAYED])["reason"] == "truncated"


@given(st.lists(st.tuples(st.text(max_size=20) | NAMES, st.none() | st.binary(max_size=5)), max_size=8))
def test_what_is_no_dead_letter_is_none(headers: list[tuple[str, bytes | None]]) -> None:
    whole = {"assay.reason", "assay.detail", "assay.topic", "assay.partition", "assay.offset"}
    found = read_letter(record(headers=headers))
    assert found is None or whole <= {name for name, _ in headers}


@pytest.mark.parametrize("source", [None, "/assay"])
def test_only_its_own_record_stands_for_what_was_left_out(source: str | None) -> None:
    whole = record(value=bytes(5000), headers=[("h", b"1"), ("ce_id", b"1")])
    dead = letter(rejected(whole, limit=1500, source=source))
    assert dead.omitted == {"assay.omitted": 5000}
    assert dead.is_of(whole)
    for other in ({"value": bytes(4999)}, {"key": b"other"}, {"headers": []}):
        assert not dead.is_of(SimpleNamespace(**{**vars(whole), **other}))


@pytest.mark.parametrize("own", [[], [("traceparent", b"00-1"), ("tracestate", b"x" * 2000)]])
def test_a_trace_does_not_make_its_record_another(own: list[tuple[str, bytes]]) -> None:
    whole = record(value=bytes(5000), headers=[*own, ("h", b"1" * 3000)])
    for context in ([], [("traceparent", b"00-2")]):
        dead = letter(rejected(whole, limit=1000, context=context))
        assert dead.omitted["assay.omitted.headers"]
        assert dead.is_of(whole)
        assert not dead.is_of(record(value=bytes(5000), headers=[*own, *[("h", b"1")] * 4]))


def test_a_choice_has_a_name_of_its_own() -> None:
    choices = [
        Choice("r"),
        Choice("s"),
        Choice("r", frozenset(["empty"])),
        Choice("r", since=1),
        Choice("r", until=1),
        Choice("r", to="t"),
    ]
    assert len({choice.name for choice in choices}) == len(choices)
    assert Choice("r", frozenset(["a", "b"])).name == Choice("r", frozenset(["b", "a"])).name


# On the broker:


def replayed(topics: Topics, *, dry: bool = False, rejects: str = "", **choice: Any) -> Sums:
    rejects = rejects or topics.rejects
    settings = ReplaySettings(brokers=topics.broker.bootstrap, rejects=rejects)
    return Replay(settings, Choice(rejects, **choice)).run(dry)


@pytest.fixture
def topics(broker: Broker) -> Topics:
    return Topics(broker, partitions=2).create()


def reject(topics: Topics, values: list[bytes | None], source: str | None = None, **record: Any) -> None:
    """Have the door reject them."""
    before = len(topics.read(topics.rejects))
    topics.send(values, **record)
    with serving(DisorderedCore(), topics.settings(cloudevents_source=source)) as served:
        wait_until(lambda: len(topics.read(topics.rejects)) == before + len(values))
        served.door.drain(10)


def test_dead_letters_are_chosen_by_reason_and_sent_once(topics: Topics) -> None:
    reject(topics, [b"bad 1", None, b"bad 2", b"bad 3"], key=b"k", headers=[("trace", b"1")])
    assert replayed(topics, dry=True).sent == {"undecodable": 3, "empty": 1}
    assert len(topics.read(topics.input)) == 4
    assert replayed(topics, reasons=frozenset(["empty"])).sent == {"empty": 1}
    sums = replayed(topics, reasons=frozenset(["undecodable"]))
    assert (sums.sent, sums.others) == ({"undecodable": 3}, 1)
    again = [one for one in topics.read(topics.input) if dict(one.headers).get(REPLAYS)]
    assert Counter(one.value for one in again) == {None: 1, b"bad 1": 1, b"bad 2": 1, b"bad 3": 1}
    assert {one.partition: one.value for one in again if not one.value} == {1: None}
    assert all((one.key, one.headers[0]) == (b"k", ("trace", b"1")) for one in again)
    sums = replayed(topics, reasons=frozenset(["undecodable"]))
    assert (sums.sent, sums.read) == ({}, 0)


def test_an_event_that_was_rejected_as_an_event_comes_back(topics: Topics) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"17"), ("h", b"1"), ("content-type", b"image/png")]
    reject(topics, [b"bad"], source="/assay", headers=headers)
    (dead,) = topics.read(topics.rejects)
    assert dict(dead.headers)["ce_type"] == b"assay.rejection.v1"
    assert replayed(topics).sent == {"undecodable": 1}
    again = topics.read(topics.input)[-1]
    assert again.value == b"bad"
    assert again.headers[:-2] == headers
    assert [name for name, _ in again.headers[-2:]] == [REPLAYED, REPLAYS]


def test_a_poisoned_record_does_not_circle(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    reject(topics, [b"bad"])
    counts = []
    with serving(DisorderedCore(), topics.settings()):
        for letters in range(2, 5):
            counts.append(replayed(topics, most=2).sent.total())
            if counts[-1]:
                wait_until(lambda letters=letters: len(topics.read(topics.rejects)) == letters)
    assert counts == [1, 1, 0]
    last = topics.read(topics.rejects)[-1]
    assert [name for name, _ in last.headers].count(REPLAYED) == 2
    assert dict(last.headers)["assay.id"].decode() == f"{topics.input}/0/0"
    assert replayed(topics, most=2).read == 0


def test_a_value_that_was_left_out_is_taken_from_where_it_was(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create(rejects={"max.message.bytes": "2000"})
    broken = [b"bad".ljust(5000, b"1"), b"bad 2"]
    reject(topics, list(broken), headers=[("h", b"1")])
    assert topics.read(topics.rejects)[0].value == b""
    assert replayed(topics, to=topics.output).sent == {"undecodable": 2}
    assert [one.value for one in topics.read(topics.output)] == broken


def test_what_is_gone_or_none_of_ours_is_said(topics: Topics) -> None:
    place = [("assay.topic", b"no-such-topic"), ("assay.partition", b"0"), ("assay.offset", b"3")]
    gone = [("assay.reason", b"empty"), ("assay.detail", b"."), *place, ("assay.omitted", b"9")]
    with producer(topics.broker) as sender:
        sender.send(topics.rejects, b"a stranger", partition=0)
        sender.send(topics.rejects, b"", headers=gone, partition=0)
    assert replayed(topics).kept == {"no dead letter of Assay": 1, "not whole any more": 1}
    with producer(topics.broker) as sender:
        sender.send(topics.rejects, b"x", headers=gone[:-1], partition=0)
    with pytest.raises(SetupError, match="has no topic no-such-topic"):
        replayed(topics)
    with pytest.raises(SetupError, match="the topic that they are read from"):
        replayed(topics, to=topics.rejects)


def test_times_bound_what_is_sent(topics: Topics) -> None:
    told = [("assay.reason", b"empty"), ("assay.detail", b"."), ("assay.topic", topics.input.encode())]
    told += [("assay.partition", b"1"), ("assay.offset", b"3")]
    with producer(topics.broker) as sender:
        for number in range(6):
            time = 1_700_000_000_000 + number
            sender.send(topics.rejects, b"%d" % number, headers=told, partition=0, timestamp_ms=time)
    replayed(topics, since=1_700_000_000_002, until=1_700_000_000_004)
    assert [one.value for one in topics.read(topics.input)] == [b"2", b"3"]
    assert replayed(topics, since=1_800_000_000_000).read == 0


def test_a_replay_that_is_stopped_anywhere_sends_each_once(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended in front of, in, and behind transactions, by an interrupt, and by a second run while it lives."""
    reject(topics, [b"bad %d" % number for number in range(20)])
    monkeypatch.setattr("assay.engine.doors.kafka.replay.TRANSACTION_LETTERS", 3)
    settings = ReplaySettings(brokers=topics.broker.bootstrap, rejects=topics.rejects)

    class Stopped(BaseException):
        pass

    for stop in ("before", "inside", "committing", "after"):
        replay = Replay(settings, Choice(topics.rejects))
        transaction, wait = replay._transaction, replay._wait
        waits: list[Any] = []

        def stopping(*args: Any, stop: str = stop, transaction: Any = transaction) -> None:
            if stop == "before":
                raise Stopped
            transaction(*args)
            raise Stopped

        def waiting(result: Any, stop: str = stop, wait: Any = wait, waits: Any = waits) -> None:
            waits.append(result)
            if (stop, len(waits)) in (("inside", 1), ("committing", 2)):
                raise Stopped
            wait(result)

        monkeypatch.setattr(replay, "_transaction", stopping)
        monkeypatch.setattr(replay, "_wait", waiting)
        with pytest.raises(Stopped):
            replay.run()

    first = Replay(settings, Choice(topics.rejects))
    second: list[Sums] = []

    def take_over(_: Sums) -> None:
        if not second:
            second.append(Replay(settings, Choice(topics.rejects)).run())

    with pytest.raises(SetupError, match="another run"):
        first.run(shown=take_over)
    again = [one for one in topics.read(topics.input) if dict(one.headers).get(REPLAYS)]
    assert Counter(one.value for one in again) == Counter(b"bad %d" % number for number in range(20))


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    words = [Path(sys.executable).with_name("assay"), "replay", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_counts_sends_and_says_what_was_wrong(topics: Topics, tmp_path: Path) -> None:
    reject(topics, [b"bad", None], key=b"k")
    file = tmp_path / "assay.toml"
    table = f'[kafka]\nbrokers = "{topics.broker.bootstrap}"\nrejects = "{topics.rejects}"\ngroup = "g"\n'
    file.write_text(table)
    done = command("--config", file, "--dry-run")
    assert done.stdout.startswith("        1  empty\n        1  undecodable\n2 would be sent again, 0 not")
    done = command("--config", file, "--reason", "empty", "--since", "2026-01-01T00:00+01:00")
    assert done.stdout.startswith("        1  empty\n1 sent again, 0 not sent, 1 not chosen;"), done.stderr
    assert (done.returncode, done.stderr) == (0, "")
    assert len(topics.read(topics.input)) == 3
    wrong = {
        "--since=tomorrow": "option --since: 'tomorrow' is no time",
        f"--to={topics.rejects}": "the topic that they are read from",
        "--to=nowhere": "has no topic nowhere",
    }
    for option, sentence in wrong.items():
        done = command("--config", file, option)
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    file.write_text(table + 'rejcts = "x"\n')
    assert "'kafka.rejcts'" in command("--config", file).stderr
