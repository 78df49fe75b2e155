"""Manifests of made bundles, and ones that do not fit their detector."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.engine.bundle import Bundle
from assay.engine.detectors import detector_of
from assay.engine.errors import BundleError


def write_bundle(
    folder: Path,
    kind: str,
    name: str,
    view: Mapping[str, Any],
    graphs: Mapping[str, tuple[bytes, Mapping[str, Any]]],
    /,
    **changed: Any,
) -> Path:
    """Write a bundle -> its folder. Of each graph: the ONNX file, and what the manifest says of it beside the
    file; `changed` are fields of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = {}
    for graph, (data, spec) in graphs.items():
        (folder / f"{graph}.onnx").write_bytes(data)
        specs[graph] = {**spec, "file": f"{graph}.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {
        "schema": 1,
        "kind": kind,
        "name": name,
        "version": "1.0.0",
        "licence": "Apache-2.0",
        "view": view,
        "min_side": 8,
        "graphs": specs,
        "thresholds": {"synthetic": 0.8, "authentic": 0.2},
        **changed,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def check_refused(folder: Path, change: Callable[[dict[str, Any]], None], named: str) -> None:
    """The bundle in `folder` loads, but once `change` was made to its manifest no detector takes it."""
    detector_of(Bundle.load(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=named):
        detector_of(Bundle.load(folder))
