"""What the tests of the HTTP door share."""

import pytest
from support.stub_core import Switch


@pytest.fixture
def ready() -> Switch:
    return Switch()
