"""What `assay bench` found, as JSON and as what its text and page are made of.

`engine/load/result.schema.json` is the published schema of `Result`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

from assay.engine.record import Record

SCHEMA = 1


class WayName(StrEnum):
    """What carries images to what scores them, and verdicts back."""

    UNARY = "unary"
    STREAM = "stream"
    KAFKA = "kafka"
    FOLDER = "folder"


class Latency(Record):
    """Seconds to the verdict; a percentile is one that was measured, and None where too few images speak of
    it (fewer than twice those that lie beyond it would be one)."""

    images: int
    mean: float
    p50: float
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float
    curve: Sequence[tuple[float, float]]
    """Shares of images and the seconds within which they had their verdict."""


class Outcomes(Record):
    """What came of the images of a round, by kind."""

    verdicts: int
    rejections: Mapping[str, int]
    """By reason."""
    errors: Mapping[str, int]
    """Calls that came to nothing, by kind."""
    unanswered: int


class Moment(Record):
    """A part of a round: its end in seconds since the warm-up, and of the images that were to be sent in it
    how many there were, and the longest latency of a verdict."""

    second: float
    images: int
    longest: float | None = None


class Round(Record):
    """One load on one way. Seconds, images and shares are of the time after the warm-up."""

    loop: Literal["closed", "open"]
    outstanding: int | None = None
    """Closed loop: images under way at a time."""
    rate: float | None = None
    """Open loop: images that arrive in a second, at random moments."""
    warm_up: float
    seconds: float
    sent: int
    images_per_second: float
    """Verdicts in a second."""
    outcomes: Outcomes
    cached: int
    """Verdicts that the server had kept, or computed for another image at the same time."""
    latency: Latency | None = None
    """From the moment at which an image was to be sent; None where the client could not keep up."""
    stages: Mapping[str, float]
    """Mean seconds a verdict by stage, as the server says."""
    cpu: Mapping[str, float]
    """Seconds of processor time an image, by process: front, workers, client."""
    joules: float | None = None
    """Energy that the GPUs drew an image."""
    client_lateness: float | None = None
    """Seconds by which 99 of 100 images were sent too late at most."""
    client_cores: float
    """Processor time of this process by the clock's; one thread of Python at a time runs."""
    problem: str | None = None
    """Why this load could not be measured as it was asked for."""
    moments: Sequence[Moment]


class Way(Record):
    """All rounds on one way."""

    way: WayName
    place: str
    """Where the images went."""
    started: bool
    """Whether the server was started for this measurement."""
    bundle: str
    """Name and version of what scored."""
    runs: str | None = None
    """On what it ran and in which precision, where it is known."""
    rounds: Sequence[Round]
    peak_memory: Mapping[str, int]
    """Most resident bytes by process since they started, summed over those of a kind."""


class Machine(Record):
    """Where the load was made, and where a server ran that was started for it."""

    cpu: str
    cores: int
    memory: int
    """Bytes that are granted."""
    system: str
    versions: Mapping[str, str]


class Source(Record):
    """The images that were sent."""

    source: str
    images: int
    """Different ones."""
    mean_bytes: float


class Result(Record):
    """A whole measurement. `ended`: why it is not complete, None where it is."""

    schema_version: int = SCHEMA
    when: str
    """UTC, ISO 8601."""
    machine: Machine
    images: Source
    ways: Sequence[Way]
    ended: str | None = None
