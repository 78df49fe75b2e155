"""LitServe: FastAPI before Python workers, dynamic batching, HTTP."""

from assay.bench.peers.client import HttpClient
from assay.bench.peers.peer import Peer, python
from assay.bench.peers.setup import Setup


class LitServe(Peer):
    name = "LitServe"
    packages = ("litserve",)
    note = "a worker a core, batches up to 4, raw bytes in the body, its fast queue, HTTP"

    def command(self, setup: Setup) -> list[str]:
        return python("litserve")

    def client(self, port: int) -> HttpClient:
        return HttpClient(port, "/predict")
