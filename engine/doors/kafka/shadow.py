"""What a shadow bundle said, on a topic of its own.

It is for comparing, so it is sent once and not waited for: what brokers do not take in time is left out and
counted."""

import json
import logging
import threading
from collections import deque
from typing import Any

from assay.engine import telemetry
from assay.engine.doors.door import Door
from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.errors import AssayError, SetupError
from assay.engine.outcome import Outcome, Verdict
from assay.engine.settings import MIB
from assay.engine.shadow import Shadow

log = logging.getLogger(__name__)

HELD = 8 * MIB
"""Bytes of records that wait for the producer."""
RETRY_SECONDS = 5.0


class ShadowTopic(Door):
    """Sends a record for each image that `shadow` scored: its outcome, and `answered`, the verdict that was
    given. The record's key is the image's id."""

    def __init__(self, settings: KafkaSettings, shadow: Shadow) -> None:
        self._topic = settings.shadow_topic or ""
        self._settings = settings.model_copy(update={"output": self._topic, "rejects": self._topic})
        self._limits: dict[str, int] = {}
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._broken: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="kafka-shadow", daemon=True)
        shadow.on_score(self._note)

    def start(self) -> None:
        """Raises SetupError where no broker answers or the topic is missing."""
        self._limits = dict(clients.describe(self._settings).limits)
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, if it can be sent now."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _note(self, verdict: Verdict, outcome: Outcome) -> None:
        answered = {
            "label": verdict.label.value,
            "probability": verdict.probability,
            "bundle": verdict.bundle,
            "version": verdict.version,
        }
        value = json.dumps({**outcome.to_dict(), "answered": answered}, separators=(",", ":")).encode()
        key = outcome.id.encode()
        size = len(key) + len(value)
        with self._changed:
            if self._bytes + size <= HELD and not self._closing:
                self._bytes += size
                self._waiting.append((key, value))
                self._changed.notify()
                return
        self._left_out()

    def _run(self) -> None:
        while not self._closing:
            try:
                producer = clients.open_producer(self._settings, self._limits)
            except AssayError as error:
                self._complain(error)
                continue
            try:
                self._send(producer)
            except Exception as error:  # kafka-python's own, and what its sender died of
                self._left_out()
                self._complain(error)
            finally:
                clients.discard(producer)

    def _send(self, producer: Any) -> None:
        """Send what comes until the end, or until the producer fails."""
        self._broken = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing or self._broken)
                if self._broken:
                    raise self._broken
                if not self._waiting:
                    break
                key, value = self._waiting.popleft()
                self._bytes -= len(key) + len(value)
            producer.send(self._topic, value=value, key=key).add_errback(self._failed)
        producer.flush(timeout=RETRY_SECONDS)

    def _failed(self, error: Exception) -> None:
        with self._changed:
            self._broken = error
            self._changed.notify()

    def _complain(self, error: Exception) -> None:
        log.warning("scores of the shadow bundle do not reach topic %s: %s", self._topic, error)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _left_out(self) -> None:
        telemetry.SHADOW_LEFT_OUT.labels("kafka").inc()


def shadow_topic(settings: KafkaSettings | None, shadow: Shadow | None) -> ShadowTopic | None:
    """The door that the settings ask for. Raises SetupError where they ask for one without a shadow."""
    if settings is None or settings.shadow_topic is None:
        return None
    if shadow is None:
        raise SetupError("--shadow-topic belongs to --shadow, which names the bundle whose scores it gets")
    return ShadowTopic(settings, shadow)
