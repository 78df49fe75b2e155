"""How large an engine `assay scan` starts."""

import pytest

from assay.engine.commands.scan import for_files
from assay.engine.settings import Settings


@pytest.mark.parametrize(
    ("workers", "batch", "files", "expected"),
    [
        (2, 4, 0, (1, 1)),
        (2, 4, 1, (1, 1)),
        (2, 4, 2, (2, 1)),
        (2, 4, 5, (2, 3)),
        (2, 4, 8, (2, 4)),
        (2, 4, 1_000_000, (2, 4)),
        (64, 4, 3, (3, 1)),
        (0, 4, 3, (0, 3)),
    ],
)
def test_no_more_workers_than_files_and_no_larger_batches(
    workers: int, batch: int, files: int, expected: tuple[int, int]
) -> None:
    found = for_files(Settings(workers=workers, batch=batch), files)
    assert (found.workers, found.batch) == expected


def test_no_more_gpus_than_files() -> None:
    settings = Settings(devices=(3, 1, 0))
    assert for_files(settings, 2).devices == (3, 1)
    assert for_files(settings, 2).batch == settings.batch
    assert for_files(settings, 0).devices == (3,)
