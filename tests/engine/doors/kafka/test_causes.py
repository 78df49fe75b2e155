"""What is said of a broker that lets nobody in: it answers and closes, and a client may see either first."""

import logging
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, SaslAuthenticationFailedError

from assay.engine.doors.kafka import KafkaSettings, clients
from assay.engine.errors import SetupError

GIVEN = {"brokers": "b:9092", "input": "a", "output": "b", "rejects": "c", "group": "g"}
PASSWORD = {"security": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "alice", "password": "wrong"}

DENIED = SaslAuthenticationFailedError("Authentication failed: Invalid username or password")
CLOSED = KafkaConnectionError("socket disconnected")
RESET = KafkaConnectionError(ConnectionResetError(104, "Connection reset by peer"))
ALERT = KafkaConnectionError("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
TIME_RAN_OUT = KafkaTimeoutError("no broker answered")


@pytest.mark.parametrize(
    ("settings", "lost", "raised", "said"),
    [
        (PASSWORD, DENIED, DENIED, "wrong username or password (Authentication failed: Invalid "),
        (PASSWORD, None, DENIED, "wrong username or password (Authentication failed: Invalid "),
        (PASSWORD, CLOSED, TIME_RAN_OUT, "(as brokers do to a wrong username or password)"),
        (PASSWORD, RESET, TIME_RAN_OUT, "(as brokers do to a wrong username or password)"),
        ({"security": "SSL"}, ALERT, ALERT, "asks for a client certificate"),
        ({"security": "SSL"}, RESET, TIME_RAN_OUT, "(as brokers do that ask for a client certificate)"),
        ({}, CLOSED, TIME_RAN_OUT, "socket disconnected"),
        ({}, None, TIME_RAN_OUT, "no broker answered"),
    ],
)
def test_the_cause_is_told_whatever_is_seen_first(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    lost: KafkaError | None,
    raised: KafkaError,
    said: str,
) -> None:
    def consumer(**_: Any) -> None:
        if lost:
            logging.getLogger("kafka.net.connection").error("%s: Connection lost: %s", "<connection>", lost)
        raise raised

    monkeypatch.setattr(clients, "KafkaConsumer", consumer)
    with pytest.raises(SetupError) as caught:
        clients.open_consumer(KafkaSettings(**GIVEN, **settings))
    assert said in str(caught.value)
    if not settings:
        assert str(caught.value).endswith(said)  # without a login no guess about one
