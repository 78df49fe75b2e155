"""`assay serve --kafka`: images on a topic in, outcomes on two topics out."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from support import images
from support.bundles import brightness_graph, plain_bundle
from support.kafka import Topics, producer, wait_until
from support.serve import ASSAY, kafka_options, served

from assay.bench.broker import Broker, free_ports


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"), min_side=2)


def test_good_and_evil_images_each_get_their_outcome_and_sigterm_drains(broker: Broker, bundle: Path) -> None:
    topics = Topics(broker).create()
    good = {name: each for name, each in images.good().items() if min(each.pixels.shape[:2]) > 1}
    evil = images.evil()
    values = {name: each.data for name, each in [*good.items(), *evil.items()]}
    value = images.encode(images.photograph())
    values |= {f"photograph {n}": value for n in range(200)}
    with producer(broker) as sender:
        for name, value in values.items():
            sender.send(topics.input, value, key=name.encode(), headers=[("assay.id", name.encode())])
    with served(topics, bundle) as process:
        wait_until(lambda: topics.lag() == 0, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    verdicts = {record.key.decode(): json.loads(record.value) for record in topics.read(topics.output)}
    rejected = {record.key.decode(): record for record in topics.read(topics.rejects)}
    assert len(topics.answers()) == len(values)
    assert verdicts.keys() == values.keys() - evil.keys()
    assert rejected.keys() == evil.keys()
    assert all(verdict["id"] == name for name, verdict in verdicts.items())
    for name, record in rejected.items():
        assert dict(record.headers)["assay.reason"].decode() in {
            reason.value for reason in evil[name].reasons
        }
        assert record.value == evil[name].data


def test_sigterm_under_load_loses_and_repeats_nothing(broker: Broker, bundle: Path) -> None:
    topics = Topics(broker).create()
    value = images.encode(np.zeros((1800, 2400, 3), np.uint8))  # quick to send, slow to score
    sent = topics.send([value] * 1000)
    with served(topics, bundle, "--cache-mib", "0") as process:
        wait_until(lambda: sum(topics.committed().values()) > 20, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    first = len(topics.answers())
    assert 20 < first == sum(topics.committed().values()) < len(sent)
    with served(topics, bundle) as process:
        wait_until(lambda: topics.lag() == 0, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    ids = [json.loads(record.value)["id"] for record in topics.read(topics.output)]
    assert sorted(ids) == sorted(f"{topics.input}/{partition}/{offset}" for partition, offset in sent)


@pytest.mark.parametrize("broken", ["broker", "topics"])
def test_a_broker_or_topic_that_is_not_there_is_one_sentence_and_exit_code_2(
    broker: Broker, bundle: Path, broken: str
) -> None:
    settings = Topics(broker).settings(
        **({"brokers": f"127.0.0.1:{free_ports(1)[0]}"} if broken == "broker" else {})
    )
    start = time.monotonic()
    done = subprocess.run(
        [ASSAY, "serve", "--bundle", str(bundle), "--workers", "1", *kafka_options(settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 2
    assert time.monotonic() - start < 20  # of which 6 are spent on the broker
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if "Kafka at" in line]
    assert len(sentences) == 1
    assert ("ECONNREFUSED" if broken == "broker" else "has no topic") in sentences[0]


def test_a_shadow_says_what_it_would_have_on_a_topic_of_its_own(
    broker: Broker, bundle: Path, tmp_path: Path
) -> None:
    topics = Topics(broker).create()
    shadow_topic = f"{topics.name}-shadow"
    broker.create_topics({shadow_topic: 1})
    other = plain_bundle(tmp_path / "other", name="opposite", graph=brightness_graph(-8.0), min_side=2)
    topics.send([images.encode(images.photograph(48, 64, seed=seed)) for seed in range(30)])
    options = ("--shadow", str(other), "--shadow-share", "1", "--shadow-topic", shadow_topic)
    with served(topics, bundle, *options) as process:
        wait_until(lambda: topics.lag() == 0 and len(topics.read(shadow_topic)) == 30, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    answered = {verdict["id"]: verdict for verdict in (json.loads(one.value) for one in topics.answers())}
    seen = {record.key.decode(): json.loads(record.value) for record in topics.read(shadow_topic)}
    assert seen.keys() == answered.keys()
    for name, said in seen.items():
        assert said["bundle"] == "opposite"
        assert said["scores"]["plain"] == pytest.approx(-answered[name]["scores"]["plain"], abs=1e-3)
        assert said["answered"] == {
            field: answered[name][field] for field in ("label", "probability", "bundle", "version")
        }


def test_a_shadow_topic_needs_a_shadow_and_has_to_exist(broker: Broker, bundle: Path) -> None:
    topics = Topics(broker).create()
    command = [ASSAY, "serve", "--bundle", str(bundle), "--workers", "1", *kafka_options(topics.settings())]
    for options, says in (
        (["--shadow-topic", "there-is-none"], "--shadow-topic belongs to --shadow"),
        (["--shadow-topic", "there-is-none", "--shadow", str(bundle)], "has no topic there-is-none"),
    ):
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert says in " ".join(done.stderr.split())
