"""mosec: a server in Rust before Python workers, dynamic batching, HTTP."""

from assay.bench.peers.client import HttpClient
from assay.bench.peers.peer import Peer, python
from assay.bench.peers.setup import Setup


class Mosec(Peer):
    name = "mosec"
    packages = ("mosec",)
    note = "a worker a core, batches up to 4, HTTP"

    def command(self, setup: Setup) -> list[str]:
        # it reads its own options from the command line
        return [*python("mosec"), "--address", "127.0.0.1", "--port", str(setup.port), "--timeout", "30000"]

    def client(self, port: int) -> HttpClient:
        return HttpClient(port, "/inference")
