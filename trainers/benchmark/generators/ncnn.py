"""Networks stored for ncnn (a .param text and a .bin of weights), run on the CPU by the `ncnn` wheel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from assay.trainers.benchmark.generators.network import Network, Planes


def load(stem: Path, input: str, output: str, padding: int = 0) -> Network:
    """The network `stem`.param/.bin between the blobs `input` and `output`, RGB 0..1 on both sides.

    `padding`: pixels of reflection that the network's unpadded convolutions eat on each side of its input.
    Raises FileNotFoundError if a file is missing and ValueError if ncnn does not take them.
    """
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.openmp_blocktime = 0
    net.opt.num_threads = len(os.sched_getaffinity(0))  # its own guess counts cores we may not have
    for path, read in ((Path(f"{stem}.param"), net.load_param), (Path(f"{stem}.bin"), net.load_model)):
        if not path.is_file():
            raise FileNotFoundError(path)
        if read(str(path)):
            raise ValueError(f"{path}: ncnn cannot read it")

    def network(planes: Planes) -> Planes:
        padded = np.pad(planes, ((padding, padding), (padding, padding), (0, 0)), mode="symmetric")
        # A Mat borrows the array's memory: the array must outlive it, and the clone owns its own.
        array = np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32)
        extractor = net.create_extractor()
        extractor.input(input, ncnn.Mat(array).clone())
        status, result = extractor.extract(output)
        if status:
            raise ValueError(f"{stem.name}: ncnn failed on a {planes.shape[1]}x{planes.shape[0]} image")
        return np.array(result, dtype=np.float32).transpose(1, 2, 0)

    return network
