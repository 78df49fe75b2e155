"""A Ray Serve server."""

import signal

import ray
from ray import serve
from starlette.requests import Request

from assay.bench.peers.network import Network
from assay.bench.peers.setup import Setup

SETUP = Setup.of_environment()
QUIET = {"enable_access_log": False}


class Scores:
    def __init__(self) -> None:
        self._network = Network(SETUP.bundle, SETUP.precision, SETUP.batch)
        SETUP.enter_worker()

    @serve.batch(max_batch_size=SETUP.batch, batch_wait_timeout_s=0.001)
    async def score(self, images: list[bytes]) -> list[float]:
        return self._network(images)

    async def __call__(self, request: Request) -> str:
        return str(await self.score(await request.body()))


if __name__ == "__main__":
    ray.init(num_cpus=SETUP.workers, include_dashboard=False, object_store_memory=128 << 20)
    serve.start(http_options={"host": "127.0.0.1", "port": SETUP.port}, logging_config=QUIET)
    deployment = serve.deployment(num_replicas=SETUP.workers, max_ongoing_requests=64, logging_config=QUIET)(
        Scores
    )
    serve.run(deployment.bind())
    signal.pause()
