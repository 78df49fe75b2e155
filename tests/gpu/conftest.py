import pytest


@pytest.fixture(autouse=True, scope="session")
def device() -> None:
    """Skips every test in here where there is no NVIDIA GPU."""
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("there is no NVIDIA GPU")
