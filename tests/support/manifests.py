"""Manifests that do not fit their detector."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.engine.bundle import Bundle
from assay.engine.detectors import detector_of
from assay.engine.errors import BundleError


def check_refused(folder: Path, change: Callable[[dict[str, Any]], None], named: str) -> None:
    """The bundle in `folder` loads, but once `change` was made to its manifest no detector takes it."""
    detector_of(Bundle.load(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=named):
        detector_of(Bundle.load(folder))
