"""Plain torch: an HTTP server of one's own with a queue, and a process a core that runs eager torch.

`torch.compile` is left out: it took a minute and a half to start and gained 2 % here.
"""

from assay.bench.peers.client import HttpClient
from assay.bench.peers.peer import Peer, python
from assay.bench.peers.setup import Setup


class Torch(Peer):
    name = "plain torch"
    packages = ("torch", "torchvision", "uvicorn", "onnx")
    note = (
        "uvicorn, batches up to 4, a process a core with torchvision's network, channels last. "
        "At its best: bfloat16"
    )
    precisions = ("fp32", "best")

    def command(self, setup: Setup) -> list[str]:
        return python("torch")

    def client(self, port: int) -> HttpClient:
        return HttpClient(port, "/")
