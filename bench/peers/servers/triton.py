"""A model of Triton's Python backend, which its `model.py` imports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as backend

from assay.bench.peers.network import Network
from assay.bench.peers.setup import Setup


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        setup = Setup.of_environment()
        self._network = Network(setup.bundle, setup.precision, setup.batch)
        setup.enter_worker()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        images = [backend.get_input_tensor_by_name(each, "IMAGE").as_numpy()[0, 0] for each in requests]
        return [
            backend.InferenceResponse([backend.Tensor("PROBABILITY", np.array([[found]], np.float32))])
            for found in self._network(images)
        ]
