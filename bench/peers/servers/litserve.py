"""A LitServe server."""

from typing import Annotated

from fastapi import Body, Response
from litserve import LitAPI, LitServer

from assay.bench.peers.network import Network
from assay.bench.peers.setup import Setup


class Scores(LitAPI):
    def setup(self, device: str) -> None:
        setup = Setup.of_environment()
        self._network = Network(setup.bundle, setup.precision, setup.batch)
        setup.enter_worker()

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, x: list[bytes]) -> list[float]:
        return self._network(x)

    def unbatch(self, output: list[float]) -> list[float]:
        return output

    def encode_response(self, output: float) -> Response:
        return Response(str(output))


if __name__ == "__main__":
    setup = Setup.of_environment()
    api = Scores(max_batch_size=setup.batch, batch_timeout=0.001)
    server = LitServer(api, accelerator="cpu", workers_per_device=setup.workers, fast_queue=True)
    server.run(
        host="127.0.0.1", port=setup.port, num_api_servers=1, generate_client_file=False, log_level="warning"
    )
