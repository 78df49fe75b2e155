"""A mosec server."""

from mosec import Server, Worker

from assay.bench.peers.network import Network
from assay.bench.peers.setup import Setup


class Scores(Worker):
    def __init__(self) -> None:
        setup = Setup.of_environment()
        self._network = Network(setup.bundle, setup.precision, setup.batch)
        setup.enter_worker()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: list[bytes]) -> list[float]:
        return self._network(data)

    def serialize(self, data: float) -> bytes:
        return str(data).encode()


if __name__ == "__main__":
    setup = Setup.of_environment()
    server = Server()
    server.append_worker(Scores, num=setup.workers, max_batch_size=setup.batch, max_wait_time=1)
    server.run()
