import pytest


@pytest.fixture(params=["at-least-once", "exactly-once"])
def delivery(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every door that the test makes delivers like this, unless its settings say otherwise."""
    monkeypatch.setenv("ASSAY_KAFKA_DELIVERY", request.param)
    return str(request.param)
