"""What every test runs under."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from assay.bench.broker import Broker

# A test's first example may compile something, and machines are shared: a slow example is no failure.
# CI draws the same examples each time, so that it fails for what was changed; `make test` draws new ones.
settings.register_profile("assay", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("assay")


@pytest.fixture(scope="session")
def broker() -> "Iterator[Broker]":
    """The real Apache Kafka on loopback, one for all tests; each makes topics of its own."""
    from assay.bench.broker import Broker

    with Broker() as started:
        yield started
