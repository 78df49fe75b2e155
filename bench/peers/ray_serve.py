"""Ray Serve: a proxy before replicas, dynamic batching, HTTP."""

from assay.bench.peers.client import HttpClient
from assay.bench.peers.peer import Peer, python
from assay.bench.peers.setup import Setup


class RayServe(Peer):
    name = "Ray Serve"
    packages = ("ray", "uvicorn")
    patience = 240.0  # a dozen processes start before its replicas do
    note = "a replica a core, batches up to 4, set for throughput as its documentation says, HTTP"

    def command(self, setup: Setup) -> list[str]:
        return python("ray_serve")

    def variables(self, setup: Setup) -> dict[str, str]:
        """Nothing is sent and nothing written outside of the scratch folder."""
        return {
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_TMPDIR": str(setup.folder),
        }

    def client(self, port: int) -> HttpClient:
        return HttpClient(port, "/")
