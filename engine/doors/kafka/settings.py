"""Settings of the Kafka door: brokers, topics, group, how to authenticate, and how much it may hold."""

from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from assay.engine.doors.kafka.references import read_root
from assay.engine.settings import MIB

ID_HEADER = "assay.id"


class BrokerSettings(BaseSettings):
    """How to reach the brokers, and who is asking."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_KAFKA_", extra="forbid", frozen=True)

    brokers: str = Field(min_length=1)
    """Addresses HOST:PORT to start from, separated by commas."""
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    ca_file: str | None = None
    """PEM file of the authorities that vouch for the brokers; None: those of the system."""
    certificate_file: str | None = None
    """PEM file of this client's own certificate, for brokers that ask for one."""
    key_file: str | None = None
    """PEM file of that certificate's private key."""
    key_password: SecretStr | None = None
    """Password of `key_file`."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    """How `username` and `password` are proven, with a SASL `security`."""
    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if self.security.startswith("SASL") and (self.username is None or self.password is None):
            raise ValueError(f"security {self.security} needs username and password")
        return self


class KafkaSettings(BrokerSettings):
    """Where images come from and where outcomes go; as variables: `ASSAY_KAFKA_PASSWORD` and so on."""

    input: str = Field(min_length=1)
    """Topic whose record values are encoded images."""
    output: str = Field(min_length=1)
    """Topic for verdicts as JSON."""
    rejects: str = Field(min_length=1)
    """Topic for the records that got no verdict, with the reason in their headers."""
    shadow_topic: str | None = Field(None, min_length=1)
    """Topic for what a shadow bundle (`serve.shadow`) said, as JSON; None: it is in the metrics alone."""
    group: str = Field(min_length=1)
    """Consumer group; its members share the partitions of `input`."""
    delivery: Literal["at-least-once", "exactly-once"] = "at-least-once"
    """What a crash does to records of the last moment: they get a second outcome, or, for readers with
    `isolation.level=read_committed`, exactly one. The latter takes transactions, of brokers since 2.5."""
    instance: str | None = Field(None, min_length=1)
    """Name of this member for static membership: a restart within 10 s then moves no partition. Unique in
    the group."""
    id_header: str = ID_HEADER
    """Record header that names an image; without it a CloudEvent's `id` does, or `topic/partition/offset`."""
    cloudevents_source: str | None = Field(None, pattern=r"^[!-~]+$")
    """Write outcomes as CloudEvents with this `source`, a URI reference such as `/assay/uploads`."""
    reference_roots: tuple[str, ...] = ()
    """URLs such as `s3://bucket/images/` or `file:///data/`, as text separated by commas, below which records
    without a value may name their image; empty: none may."""
    reference_seconds: float = Field(10.0, gt=0)
    """Within which what a record refers to has to be found, and then read."""
    window: int = Field(64 * MIB, gt=0)
    """Bytes of records that were taken and have no acknowledged outcome yet; past it partitions are paused.
    What Kafka's client fetches ahead (up to 32 MiB a broker) comes on top."""

    skip_unanswerable: bool = False
    """Go on behind records that cannot be read, or that no answer fits in its topic for: they get no outcome,
    but a line in the log each. Otherwise the server ends at the first, with a sentence that names it."""

    @field_validator("reference_roots", mode="before")
    @classmethod
    def _split(cls, roots: object) -> object:
        return tuple(filter(None, roots.split(","))) if isinstance(roots, str) else roots

    @field_validator("reference_roots")
    @classmethod
    def _check_roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            read_root(root)
        return roots

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.input in (self.output, self.rejects, self.shadow_topic):
            raise ValueError(f"topic {self.input} cannot be read and written: outcomes would be scored again")
        return self


class ReplaySettings(BrokerSettings):
    """What `assay replay` shares with the server whose dead letters it sends again."""

    rejects: str = Field(min_length=1)
    """Topic of the dead letters."""
    id_header: str = ID_HEADER
    """Record header that names an image."""
