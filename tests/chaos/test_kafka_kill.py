"""Processes and brokers that die under load: every input gets an outcome, whatever happens."""

import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from support import images
from support.bundles import plain_bundle
from support.kafka import DisorderedCore, Topics, serving, wait_until
from support.serve import served

from assay.bench.broker import Broker


def test_kill_9_of_the_server_loses_nothing_and_repeats_nothing_that_was_committed(
    broker: Broker, tmp_path: Path
) -> None:
    topics = Topics(broker).create()
    bundle = plain_bundle(tmp_path / "bundle")
    value = images.encode(images.photograph(600, 800))
    sent = topics.send([value if n % 10 else b"no image" for n in range(1500)])
    committed: list[dict[int, int]] = []
    outcomes: list[int] = []
    for _ in range(3):
        with served(topics, bundle, "--cache-mib", "0") as process:
            before = sum(topics.committed().values())
            wait_until(lambda before=before: sum(topics.committed().values()) > before + 60, 60)  # type: ignore[misc]
            committed.append(topics.committed())
            process.kill()
            process.wait()
        outcomes.append(len(topics.answers()))
    assert sum(committed[-1].values()) < len(sent)  # it was under load to the end
    with served(topics, bundle):
        wait_until(lambda: topics.lag() == 0, 120)
    counts: Counter[tuple[int, int]] = Counter()
    for record in topics.answers():
        headers = dict(record.headers)
        if "assay.offset" in headers:
            counts[int(headers["assay.partition"]), int(headers["assay.offset"])] += 1
        else:
            _, partition, offset = json.loads(record.value)["id"].split("/")
            counts[int(partition), int(offset)] += 1
    assert counts.keys() == set(sent)
    # What was committed when a process died was never scored by a later one.
    for partition, offset in counts:
        deaths_before_commit = sum(offset >= position.get(partition, 0) for position in committed)
        assert counts[partition, offset] <= 1 + deaths_before_commit
    repeated = sum(counts.values()) - len(counts)
    assert repeated <= outcomes[-1]


@pytest.mark.full
@pytest.mark.timeout(480)
def test_a_broker_that_is_killed_and_comes_back_costs_no_outcome() -> None:
    with Broker() as broker:
        topics = Topics(broker).create()
        sent: list[tuple[int, int]] = []
        stop = threading.Event()

        def produce() -> None:
            while not stop.is_set():
                sent.extend(topics.send([b"image %d" % n for n in range(100)]))

        with serving(DisorderedCore(delay=0.2), topics.settings()) as server:
            for _ in range(3):
                stop.clear()
                source = threading.Thread(target=produce)
                source.start()
                time.sleep(3)
                stop.set()
                source.join()
                broker.kill()
                time.sleep(3)
                broker.start()
            # A second or two; where the answer to a join was lost, the 30 s after which the door gives it up.
            wait_until(lambda: topics.lag() == 0, 100)
            assert not server.failures
        places = Counter(tuple(json.loads(r.value)["id"].split("/")[1:]) for r in topics.read(topics.output))
        assert {(int(p), int(o)) for p, o in places} == set(sent)
