from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bundles import plain_bundle

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.settings import Settings


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(plain_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def core(bundle: Bundle) -> Iterator[Core]:
    """A core of two worker processes that the tests of a module share; none may break it."""
    core = Core([bundle], Settings(workers=2))
    yield core
    core.stop()


@pytest.fixture
def inline(bundle: Bundle) -> Iterator[Core]:
    core = Core([bundle], Settings(workers=0))
    yield core
    core.stop()


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    """A bundle of this test's own, to damage."""
    return plain_bundle(tmp_path / "bundle")
