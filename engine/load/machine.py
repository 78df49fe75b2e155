"""What a measurement was made on."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from assay.engine.load.result import Machine
from assay.engine.settings import granted_memory

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
"""Arithmetic of a processor that decides inference speed."""


def machine(versions: Iterable[tuple[str, str]]) -> Machine:
    """This one, with the `versions` of what is installed."""
    return Machine(
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        memory=granted_memory(),
        system=platform.platform(),
        versions=dict(versions),
    )


def cpu_name() -> str:
    """The processor's name, and which of `FEATURES` it has."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    flags = {name.strip(): value for name, value in fields.items()}
    features = [name for name in FEATURES if name in flags.get("flags", "").split()]
    return f"{flags.get('model name', 'unknown processor').strip()} ({', '.join(features)})"
