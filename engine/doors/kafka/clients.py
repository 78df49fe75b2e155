"""The clients of kafka-python with the settings that this door relies on, and errors that say their cause."""

import logging
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError, SaslAuthenticationFailedError
from kafka.net.compat import KafkaNetClient

from assay.engine.doors.kafka import complaints
from assay.engine.doors.kafka.batches import FetchedRecords
from assay.engine.doors.kafka.settings import BrokerSettings, KafkaSettings
from assay.engine.errors import SetupError
from assay.engine.settings import MIB

# It warns of every fetch that takes 0.1 s to parse, as fetches of images do.
logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)

CONNECT_MS = 6000
BATCH_BYTES = 16384
COMMITTED_MS = 15_000
SESSION_MS = 10_000
HEARTBEAT_MS = 3000

# A transaction takes some 20 ms. One that a killed member left open holds up its partitions until the brokers
# end it: they look every 10 s (their default) for those that are older than this.
TRANSACTION_TIMEOUT_MS = 5000
RETRY_MS = 10
"""kafka-python's sender sleeps as long in each transaction, ten times as long if not told."""
FENCING = (2, 5)
"""Since then brokers refuse offsets in a transaction of a member whose time in the group is over."""


@dataclass(frozen=True, slots=True)
class Topics:
    """What the cluster says about topics: number of partitions, largest record."""

    partitions: Mapping[str, int]
    limits: Mapping[str, int]


def describe(settings: KafkaSettings) -> Topics:
    """Ask the cluster about the three topics -> the two that are written.

    Raises:
        SetupError: no broker answers, it refuses us, or a topic is missing.
    """
    written = list(dict.fromkeys((settings.output, settings.rejects)))
    return find_topics(settings, written, also=[settings.input])


def find_topics(settings: BrokerSettings, names: Sequence[str], also: Sequence[str] = ()) -> Topics:
    """Ask the cluster about the topics `names`; those of `also` have to be there, too.

    Raises:
        SetupError: no broker answers, it refuses us, or a topic is missing.
    """
    with _explained(settings):
        admin = _made(KafkaAdminClient, **_common(settings))
        try:
            wanted = [*also, *names]
            found = {
                topic["name"]: topic for topic in admin.describe_topics(wanted) if not topic["error_code"]
            }
            if missing := [topic for topic in dict.fromkeys(wanted) if topic not in found]:
                raise SetupError(
                    f"Kafka at {settings.brokers} has no topic {' and no topic '.join(missing)}"
                    " (or hides it from this user): create it first"
                )
            resources = [ConfigResource("TOPIC", topic) for topic in names]
            configs = admin.describe_configs(resources, config_filter="all")["topic"]
        finally:
            admin.close()
    return Topics(
        {topic: len(found[topic]["partitions"]) for topic in names},
        {topic: int(configs[topic]["max.message.bytes"]["value"]) for topic in names},
    )


def reachable(settings: KafkaSettings) -> bool:
    """Whether brokers answer."""
    try:
        describe(settings)
    except SetupError:
        return False
    return True


def open_producer(settings: BrokerSettings, limits: Mapping[str, int]) -> Any:
    """An idempotent KafkaProducer: what it sends arrives once and in order, as long as it lives.

    `limits` gives the largest batch that each topic takes, in bytes.
    """
    with _explained(settings):
        return _producer(settings, limits)


def _producer(settings: BrokerSettings, limits: Mapping[str, int], **more: Any) -> Any:
    return _made(
        KafkaProducer,
        **_common(settings),
        metrics_enabled=False,
        acks="all",
        linger_ms=5,
        batch_size=min(BATCH_BYTES, *limits.values()),
        max_request_size=max(limits.values()) + MIB,  # `limits` decide, not the client
        request_timeout_ms=15_000,
        delivery_timeout_ms=60_000,
        max_block_ms=15_000,
        **more,
    )


def open_transactional(settings: BrokerSettings, limits: Mapping[str, int], id: str) -> Any:
    """A KafkaProducer that is ready for transactions under the name `id`; one that was open is ended by that,
    and an older producer of the name is fenced.

    Raises:
        SetupError: no broker answers, it refuses us, or is too old.
    """
    with _explained(settings):
        producer = _producer(
            settings,
            limits,
            transactional_id=id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            if producer.config["api_version"] < FENCING:
                raise SetupError(
                    f"Kafka at {settings.brokers} is older than 2.5 and cannot deliver exactly once:"
                    " set delivery of [kafka] to at-least-once"
                )
            producer.init_transactions()
        except BaseException:
            discard(producer)
            raise
        return producer


def committed(settings: BrokerSettings, group: str, partitions: Iterable[Any]) -> dict[Any, int]:
    """Offset that `group` has committed by `TopicPartition`, of those that have one; waits until no
    transaction holds a newer.

    Raises:
        SetupError: no answer in time, or the brokers refuse it.
    """
    with _explained(settings):
        reader = _made(
            KafkaConsumer,
            **_common(settings),
            metrics_enabled=False,
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        try:
            found = {name: reader.committed(name, timeout_ms=COMMITTED_MS) for name in partitions}
        finally:
            reader.close(autocommit=False)
        return {name: offset for name, offset in found.items() if offset is not None}


def open_consumer(settings: KafkaSettings) -> Any:
    """A KafkaConsumer that commits only when told, from the beginning where nothing was committed."""
    return _consumer(
        settings,
        group_id=settings.group,
        group_instance_id=settings.instance,
        partition_assignment_strategy=(RangePartitionAssignor, RoundRobinPartitionAssignor),
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
    )


def open_reader(settings: BrokerSettings) -> Any:
    """A KafkaConsumer of no group: who uses it assigns partitions to it."""
    return _consumer(settings, group_id=None)


def _consumer(settings: BrokerSettings, **more: Any) -> Any:
    with _explained(settings):
        consumer = _made(
            KafkaConsumer,
            **_common(settings),
            metrics_enabled=False,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=64,
            max_partition_fetch_bytes=8 * MIB,
            fetch_max_bytes=32 * MIB,
            request_timeout_ms=15_000,
            **more,
        )
        consumer._fetcher.PartitionRecords = FetchedRecords
        return consumer


def discard(producer: Any) -> None:
    """Give up a producer with all that it still holds."""
    try:
        producer.close(timeout=0)
    except KafkaError:
        # With records that were not sent `close` raises before it ends the sender's thread.
        producer._sender.force_close()


def _made(kind: Callable[..., Any], **options: Any) -> Any:
    """A client, or the error of its constructor, which would leave its threads and sockets behind."""
    networks: list[Any] = []

    def network(*args: Any, **more: Any) -> Any:
        networks.append(KafkaNetClient(*args, **more))
        return networks[-1]

    try:
        return kind(**options, kafka_client=network)
    except BaseException:
        for each in networks:
            each.close()
        raise


def _common(settings: BrokerSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.brokers.split(","),
        "client_id": "assay",
        "security_protocol": settings.security,
        "bootstrap_timeout_ms": CONNECT_MS,
        # With the defaults a consumer stays silent for up to 50 s after a broker came back.
        "reconnect_backoff_max_ms": 1000,
        # So a member that joined before it knew the topic's partitions does not wait long for them.
        "metadata_max_age_ms": 3000,
    }
    if settings.security.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.security.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password.get_secret_value() if settings.password else None
    return options


def _ssl_context(settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file:
            password = settings.key_password.get_secret_value() if settings.key_password else None
            context.load_cert_chain(settings.certificate_file, settings.key_file, password)
    except OSError as error:  # ssl.SSLError is one
        files = filter(None, (settings.ca_file, settings.certificate_file, settings.key_file))
        raise SetupError(f"cannot use the TLS files given for Kafka ({', '.join(files)}): {error}") from error
    return context


class _Cause(logging.Handler):
    """Keeps why kafka-python first lost a connection: its exceptions do not say, and its last words may be
    that time ran out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage().partition("Connection lost: ")[2]


@contextmanager
def _explained(settings: BrokerSettings) -> Iterator[None]:
    """Turn an error of kafka-python into one sentence with its cause; keep its log lines off the screen."""
    cause = _Cause()
    try:
        with complaints.hidden(cause):
            yield
    except KafkaError as error:
        why = _sentence(settings, cause.text or str(error))
        raise SetupError(f"cannot use Kafka at {settings.brokers}: {why}") from error


def _sentence(settings: BrokerSettings, why: str) -> str:
    """A broker that lets nobody in says so and closes; which of the two the client sees is a race."""
    closed = any(word in why for word in ("disconnected", "reset by peer", "Broken pipe"))
    if SaslAuthenticationFailedError.__name__ in why:
        return f"wrong username or password ({why.rpartition('Error: ')[2]})"
    if closed and settings.security.startswith("SASL"):
        return f"{why} (as brokers do to a wrong username or password)"
    if "CERTIFICATE_REQUIRED" in why:
        return f"the broker asks for a client certificate ({why})"
    if closed and settings.security == "SSL" and not settings.certificate_file:
        return f"{why} (as brokers do that ask for a client certificate)"
    return why
