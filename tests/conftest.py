"""What every test runs under."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from assay.bench.broker import Broker

# A test's first example may compile something, and machines are shared: a slow example is no failure.
settings.register_profile("assay", deadline=None)
settings.load_profile("assay")


@pytest.fixture(scope="session")
def broker() -> "Iterator[Broker]":
    """The real Apache Kafka on loopback, one for all tests; each makes topics of its own."""
    from assay.bench.broker import Broker

    with Broker() as started:
        yield started
