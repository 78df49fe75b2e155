"""The Kafka door on a real broker that asks for TLS, a client certificate, or a password."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker, free_ports
from assay.engine.doors.kafka import KafkaDoor
from assay.engine.errors import SetupError

pytestmark = pytest.mark.full


@dataclass(frozen=True)
class Secure:
    """A broker with a listener for each protocol, and the client's files."""

    broker: Broker
    ports: dict[str, int]
    ca_file: str
    certificate_file: str

    def settings(self, protocol: str) -> dict[str, Any]:
        return {
            "brokers": f"127.0.0.1:{self.ports[protocol]}",
            "security": protocol,
            "ca_file": self.ca_file,
        }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    server, client, trust = (str(folder / name) for name in ("server.pem", "client.pem", "ca.pem"))
    # Kafka reads RSA keys in the PKCS#8 form.
    for certificate, file in ((ca.issue_cert("127.0.0.1"), server), (ca.issue_cert("client"), client)):
        Path(file).write_bytes(pkcs8(certificate) + certificate.cert_chain_pems[0].bytes())
    ca.cert_pem.write_to_path(trust)
    ports = dict(zip(("SSL", "SASL_SSL"), free_ports(2), strict=True))
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    properties = {
        "listener.security.protocol.map": ",".join(
            ("CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", "SSL:SSL", "SASL_SSL:SASL_SSL")
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} user_alice="secret";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": trust,
        "listener.name.ssl.ssl.client.auth": "required",
    }
    with Broker(properties=properties, listeners=ports) as broker:
        yield Secure(broker, ports, trust, client)


def pkcs8(certificate: trustme.LeafCert) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def check(topics: Topics, **settings: Any) -> None:
    topics.send([b"image", b"bad"])
    with serving(DisorderedCore(), topics.settings(**settings)):
        wait_until(lambda: len(topics.answers()) == 2)


def test_a_password_over_tls(secure: Secure) -> None:
    topics = Topics(secure.broker).create()
    login = {"sasl_mechanism": "PLAIN", "username": "alice", "password": "secret"}
    check(topics, **secure.settings("SASL_SSL"), **login)


def test_a_client_certificate(secure: Secure) -> None:
    topics = Topics(secure.broker).create()
    check(topics, **secure.settings("SSL"), certificate_file=secure.certificate_file)


@pytest.mark.parametrize(
    ("protocol", "changed", "cause"),
    [
        (
            "SASL_SSL",
            {"sasl_mechanism": "PLAIN", "username": "alice", "password": "wrong"},
            "wrong username or password",
        ),
        ("SSL", {}, "asks? for a client certificate"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    secure: Secure, protocol: str, changed: dict[str, Any], cause: str
) -> None:
    topics = Topics(secure.broker).create()
    door = KafkaDoor(DisorderedCore(), topics.settings(**secure.settings(protocol), **changed))
    with pytest.raises(SetupError, match=cause):
        door.start()
    door.stop()
