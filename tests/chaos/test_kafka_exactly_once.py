"""Members of a group, and their broker, that are killed at random moments under load: outcomes exactly once.

`make chaos` runs it, for some minutes. ASSAY_CHAOS_SEED repeats the choices of a run that failed, though not
its timing; ASSAY_CHAOS_KILLS says how often members are killed.
"""

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest
from support.kafka import Topics, wait_until
from support.kafka_member import member

from assay.bench.broker import Broker
from assay.engine.doors.kafka import KafkaSettings

KILLS = int(os.environ.get("ASSAY_CHAOS_KILLS", "60"))
REJECTS_LIMIT = 100_000
NAMES = (
    "one",
    "two",
    None,
)  # the third joins as a stranger each time, and is missed for 10 s when it is killed


class Load:
    """Sends records without a pause, unless one is asked for, and knows which the topic has."""

    def __init__(self, topics: Topics, dice: random.Random) -> None:
        self.sent: list[tuple[int, int]] = []
        self.running = threading.Lock()
        self._topics = topics
        self._dice = dice
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            with self.running:
                self.sent.extend(self._topics.send([self._value(n) for n in range(60)], key=b"k"))

    def _value(self, number: int) -> bytes | None:
        kind = self._dice.random()
        if kind < 0.02:
            return b"bad %d" % number
        if kind < 0.025:
            return b"bad".ljust(2 * REJECTS_LIMIT)  # too large for the topic of rejections
        return None if kind < 0.03 else b"image %d" % number


class Group:
    """Its members, by name."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stacks: dict[str | None, ExitStack] = {}
        self._members: dict[str | None, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Group":
        for name in NAMES:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._stacks.values():
            stack.close()

    def start(self, name: str | None) -> None:
        stack = self._stacks[name] = ExitStack()
        self._members[name] = stack.enter_context(
            member(self._settings.model_copy(update={"instance": name}))
        )

    def kill(self, name: str | None) -> None:
        assert self._members[name].poll() is None, "it ended by itself"
        self._stacks[name].close()

    def leave(self, name: str | None) -> None:
        self._members[name].send_signal(signal.SIGTERM)
        # By the signal itself where it came before the member had begun.
        assert self._members[name].wait(30) in (0, -signal.SIGTERM)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_members_and_brokers_die_and_each_input_has_one_outcome() -> None:
    seed = int(os.environ.get("ASSAY_CHAOS_SEED") or time.time())
    print(f"ASSAY_CHAOS_SEED={seed}")
    dice = random.Random(seed)
    with Broker() as broker:
        topics = Topics(broker, partitions=6).create(rejects={"max.message.bytes": str(REJECTS_LIMIT)})
        settings = topics.settings(delivery="exactly-once")
        with Group(settings) as group:
            with Load(topics, random.Random(seed)) as load:
                for kill in range(KILLS):
                    time.sleep(dice.uniform(0.1, 3))
                    name = dice.choice(NAMES)
                    if kill % 10 == 4:
                        group.leave(name)
                        group.start(name)
                        name = dice.choice(NAMES)
                        time.sleep(dice.uniform(0.1, 3))
                    group.kill(name)
                    if kill % 20 == 10:
                        with load.running:
                            broker.kill()
                            time.sleep(dice.uniform(1, 8))
                            broker.start()
                    group.start(name)
                print(f"{len(load.sent)} records, {topics.lag()} of them without an outcome yet")
            start = time.monotonic()
            wait_until(lambda: topics.lag() == 0, 180)
            print(f"all had one after {time.monotonic() - start:.0f} s")
            for name in NAMES:
                group.leave(name)
        topics.check_exactly_once(load.sent)
