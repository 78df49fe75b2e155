"""Libraries below Assay ask no other host for anything by themselves, and leave nothing in the home folder.

OpenVINO's and NNCF's telemetry is kept out in `assay.engine.executors`.
"""

import os

from assay.engine.executors import cache

OFF = {
    "HF_HUB_OFFLINE": "1",  # transformers would ask its hub about a model that lies on this disk
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
FOLDERS = {
    "CUPY_CACHE_DIR": "cupy",  # else ~/.cupy
    "CUDA_CACHE_PATH": "cuda",  # else ~/.nv
    "TRITON_CACHE_DIR": "triton",  # else ~/.triton
    "MPLCONFIGDIR": "matplotlib",  # else ~/.config/matplotlib and ~/.cache/matplotlib
}
"""Variables that name folders for caches, and what those are called in Assay's."""


def keep_offline() -> None:
    """For this process and those that it starts: libraries contact nobody by themselves."""
    os.environ.update(OFF)


def keep_in_cache() -> None:
    """For this process and those that it starts: what libraries keep lies in Assay's cache folder, except
    where the environment says otherwise. Called before they are loaded."""
    try:
        folder = cache.folder()
    except RuntimeError:  # there is no home folder that something could be left in
        return
    for variable, name in FOLDERS.items():
        os.environ.setdefault(variable, str(folder / name))
